"""What is said of an explanation: the warning first, the head, what was mapped, how the figures came out."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from tilebank.flows.champion.card import HeadCard
from tilebank.flows.explain.figures import ExplainFigures
from tilebank.flows.explain.maps.scales import MapScale
from tilebank.flows.explain.records import ExplainedExam
from tilebank.flows.explain.rows import BreastMaps
from tilebank.flows.predict.summary import NAMED, NOT_FOR_CARE
from tilebank.flows.reporting.csv_cells import visible
from tilebank.flows.reporting.job import aligned
from tilebank.flows.settings.explain import ExplainConfig

SHOWN = 8  # breasts that are shown one by one
BOX_SCORES = {
    "attention": "the breast's score times how many times its even share of the attention the highest place has",
    "contribution": "what the tiles would add to the breast's logit if all were like those at its highest place",
    "evidence": "the logit that the breast would have with one of the tiles there alone, at its highest place",
}
WHERE = "a map says where the head looked, not where disease is; attention is shared out within a breast"


@dataclass(frozen=True)
class DrawnExam:
    """An exam with pictures: a line a breast, and the files below the output folder."""

    exam_id: str
    lines: tuple[str, ...]
    files: tuple[str, ...]


@dataclass
class ExplainTally:
    """Counts of exams as they come, and the first of their breasts."""

    exams: int = 0
    breasts: int = 0
    images: int = 0
    boxes: int = 0
    not_mapped: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    splits: Counter[str] = field(default_factory=Counter)
    first: list[str] = field(default_factory=list)
    drawn: list[DrawnExam] = field(default_factory=list)

    @property
    def without_map(self) -> Counter[str]:
        """Images by why they have none."""
        return self.not_mapped + self.refused

    def add(self, breasts: Sequence[BreastMaps], exam: ExplainedExam) -> None:
        """Count one exam."""
        self.exams += 1
        self.breasts += len(breasts)
        self.images += sum(not image.failure for image in exam.images)
        self.boxes += sum(len(image.boxes) for image in exam.images)
        self.not_mapped.update(image.failure for image in exam.images if image.failure)
        self.splits.update(one.score.split for one in breasts if one.score.split)
        lines = tuple(_line(one, exam) for one in breasts)
        self.first += lines[: SHOWN - len(self.first)]
        if exam.files:
            self.drawn.append(DrawnExam(exam.exam_id, lines, tuple(sorted(exam.files))))


def _line(one: BreastMaps, exam: ExplainedExam) -> str:
    found = [
        (box.score, image.view, box.box)
        for image in exam.images
        if image.breast_id == one.score.breast_id
        for box in image.boxes[:1]
    ]
    said = f"{one.score.breast_id}  score {one.score.scores[0]:.5f}"
    if len(one.logits) == 1:
        said += f"  views {one.of_views[0]:+.2f}  tiles {one.of_tiles[0]:+.2f} of the logit {one.logits[0]:+.2f}"
    if not found:
        return f"{said}  no box"
    score, view, box = max(found, key=lambda each: each[0])
    return f"{said}  first box {view} {box.x} {box.y} {box.width} {box.height} ({score:.3f})"


@dataclass(frozen=True)
class ScaleCost:
    """What one scale of the maps took. encoded: tiles of this run, none where they were stored."""

    scale: float
    tile_px: int
    stride_px: int
    fingerprint: str
    encoded: int
    wall_s: float

    @classmethod
    def of(cls, scale: MapScale) -> "ScaleCost":
        """From the extraction behind it."""
        cost = scale.cost
        return cls(scale.scale, scale.tile_px, scale.stride_px, cost.plan.fingerprint, cost.tiles, cost.wall_s)


@dataclass(frozen=True)
class ExplainSummary:
    """What was explained."""

    head: str
    card: HeadCard
    source: str
    split: str
    config: ExplainConfig
    scales: tuple[ScaleCost, ...]
    tally: ExplainTally
    figures: ExplainFigures
    run_id: str
    out: str
    wall_s: float

    @property
    def box_score(self) -> str:
        """What the score of a box is, in words."""
        return BOX_SCORES[self.config.map]

    @property
    def failed(self) -> bool:
        """Whether nothing could be mapped."""
        return not self.tally.images

    def as_dict(self) -> dict[str, object]:
        """JSON values; boxes and breasts are in the tables."""
        card = {name: value for name, value in asdict(self.card).items() if name != "vectors"}
        counts = {name: getattr(self.tally, name) for name in ("exams", "breasts", "images", "boxes")}
        rest = {"without_map": dict(self.tally.without_map), "splits": dict(self.tally.splits)}
        own = {name: getattr(self, name) for name in ("head", "source", "split", "run_id", "out", "wall_s")}
        made = {"settings": asdict(self.config), "scales": [asdict(each) for each in self.scales]}
        return own | counts | rest | made | {"card": card, "figures": self.figures.as_metrics(), "note": NOT_FOR_CARE}

    def as_text(self) -> str:
        """The warning, the head, the counts, the figures, and the first breasts."""
        first = "\n".join(visible(line) for line in self.tally.first)
        return "\n\n".join([NOT_FOR_CARE, self._about(), *([first] if first else [])])

    def _about(self) -> str:
        tally = self.tally
        rows = [
            ("head", f"{self.head}: {self.card.task}, fitted on {self.card.dataset} ({self.card.licence})"),
            ("mapped", f"images {tally.images}, breasts {tally.breasts}, exams {tally.exams}; from {self.source}"),
            *([("  split", self.split)] if self.split else []),
            ("map", f"{self.config.map} of overlapped tiles; {WHERE}"),
        ]
        for each in self.scales:
            new = f"{each.encoded} tiles encoded in {each.wall_s:.1f} s" if each.encoded else "all tiles were stored"
            rows.append(("  tiles", f"{each.tile_px} px, every {each.stride_px} px (scale {each.scale:g}): {new}"))
        rows.append(("boxes", str(tally.boxes)))
        without = tally.without_map
        named = without.most_common(NAMED)
        rows += [("images without a map", str(without.total()))] if named else []
        rows += [("", f"{count} x {reason}") for reason, count in named]
        rows += [*self.figures.as_lines(), ("written", self.out)]
        rows += [("run", self.run_id)] if self.run_id else []
        return aligned([(name, visible(value)) for name, value in [*rows, ("time", f"{self.wall_s:.1f} s")]])
