"""Summarise an explanation on one screen: the warning, the head, what was mapped, and the main figures."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from tilebank.flows.champion.card import HeadCard
from tilebank.flows.explain.figures import ExplainFigures
from tilebank.flows.explain.maps.scales import MapScale
from tilebank.flows.explain.tally import SHOWN, ExplainTally
from tilebank.flows.predict.summary import NOT_FOR_CARE
from tilebank.flows.reporting.csv_cells import visible
from tilebank.flows.reporting.job import aligned
from tilebank.flows.settings.explain import ExplainConfig

REASONS = 3  # for images without a map that are named
BOX_SCORES = {
    "attention": "the breast's score times the attention at its highest place, in multiples of an even share",
    "contribution": "what the tiles would add to the breast's logit if all were like those at its highest place",
    "evidence": "the logit of the breast if the tile at its highest place were its only one",
}
WHERE = "a map shows where the head looked, not where disease is"


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
    """What was explained. fitted_on: patients of each split of the head's search; facts: date, command, versions."""

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
    fitted_on: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)

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
        own |= {"fitted_on": dict(self.fitted_on), "facts": dict(self.facts)}
        made = {"settings": asdict(self.config), "scales": [asdict(each) for each in self.scales]}
        return own | counts | rest | made | {"card": card, "figures": self.figures.as_metrics(), "note": NOT_FOR_CARE}

    def as_text(self) -> str:
        """The warning, the head, the counts, the main figures, and the breasts where they are few."""
        first = "\n".join(visible(line) for line in self.tally.first) if self.tally.breasts <= SHOWN else ""
        return "\n\n".join([NOT_FOR_CARE, self._about(), *([first] if first else [])])

    def _about(self) -> str:
        tally = self.tally
        rows = [
            ("head", f"{self.head}: {self.card.about}"),
            ("mapped", f"{tally.images} images of {tally.breasts} breasts in {tally.exams} exams; from {self.source}"),
            *([("split", self.split)] if self.split else []),
            ("map", f"{self.config.map} of overlapped tiles; {WHERE}"),
        ]
        for each in self.scales:
            new = f"{each.encoded} encoded in {each.wall_s:.0f} s" if each.encoded else "all were stored"
            rows.append(("tiles", f"{each.tile_px} px, one every {each.stride_px} px: {new}"))
        rows.append(("boxes", f"{tally.boxes} suggested by the maps"))
        without = tally.without_map
        rows += [("without a map", f"{without.total()} images, see not_mapped.csv")] if without else []
        rows += [("", f"{count} x {reason}") for reason, count in without.most_common(REASONS)]
        rows += self.figures.as_lines()
        rows += [("time", f"{self.wall_s:.0f} s"), *([("run", self.run_id)] if self.run_id else [])]
        rows.append(("written", f"{self.out}: read explain.html first; boxes.csv and breasts.csv have all numbers"))
        return aligned([(name, visible(value)) for name, value in rows])
