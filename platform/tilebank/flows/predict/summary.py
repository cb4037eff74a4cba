"""Summarise a prediction: the warning, the head, its threshold and what it means, and the counts."""

from collections import Counter
from dataclasses import asdict, dataclass, field

from tilebank.flows.champion.card import DECLARED, HeadCard
from tilebank.flows.predict.rows import BreastScore
from tilebank.flows.reporting.csv_cells import visible
from tilebank.flows.reporting.html import RESEARCH
from tilebank.flows.reporting.job import aligned

SHOWN = 20  # breasts that are listed
NOT_FOR_CARE = f"{RESEARCH} Do not base decisions about a patient's care on these scores."
MEANING = (
    "a score ranks breasts by how much they resemble the positive ones of the study that the head was fitted on; it is"
    " not a risk in any population"
)
NO_THRESHOLD = "none: the head's card gives no threshold, so scores are not compared with one"
NAMED = 5  # reasons that a summary lists


@dataclass
class ScoreTally:
    """Counts of rows as they come, and the first of them."""

    breasts: int = 0
    at_or_above: int = 0
    flags: Counter[str] = field(default_factory=Counter)
    splits: Counter[str] = field(default_factory=Counter)
    first: list[BreastScore] = field(default_factory=list)

    def add(self, row: BreastScore) -> None:
        """Count one breast."""
        self.breasts += 1
        self.at_or_above += row.at_or_above is True
        self.flags[row.flag] += bool(row.flag)
        self.splits[row.split] += bool(row.split)
        if len(self.first) < SHOWN:
            self.first.append(row)


@dataclass(frozen=True)
class PredictSummary:
    """What was scored, by which head, and where it is written.

    source: a dataset and its store, or a folder; table_version: 0 for a folder; refused: images by `stage: reason`,
    None where single exams were asked for; no_tiles: why there are no top tiles; kept: whether the scores stand in the
    predictions table too.
    """

    head: str
    card: HeadCard
    source: str
    table_version: int
    fingerprint: str
    patients: int
    exams: int
    tally: ScoreTally
    refused: dict[str, int] | None
    no_tiles: str
    written: tuple[str, ...]
    kept: bool
    wall_s: float

    @property
    def threshold(self) -> str:
        """The threshold and what it means."""
        if self.card.thresholds:
            return f"{self.card.thresholds}: one for each output, chosen on validation; none is applied here"
        if self.card.threshold is None:
            return NO_THRESHOLD
        rule = self.card.threshold_rule or "the head's card does not say how it was chosen"
        return f"{self.card.threshold:.5f}: {rule}"

    def as_dict(self) -> dict[str, object]:
        """JSON values; the breasts are in the CSV."""
        left_out = ("tally", "card")
        said = {name: value for name, value in vars(self).items() if name not in left_out}
        card = {name: value for name, value in asdict(self.card).items() if name != "vectors"}
        counts = {"breasts": self.tally.breasts, "flags": dict(+self.tally.flags), "splits": dict(+self.tally.splits)}
        if self.card.threshold is not None:
            counts["at_or_above_threshold"] = self.tally.at_or_above
        return said | counts | {"card": card, "threshold": self.threshold, "note": NOT_FOR_CARE, "score": MEANING}

    def as_text(self) -> str:
        """The warning, the head, the counts, and the breasts where they are few."""
        return "\n\n".join([NOT_FOR_CARE, self._about(), *([self._breasts()] if self.tally.breasts <= SHOWN else [])])

    def _about(self) -> str:
        card, tally = self.card, self.tally
        version = f", table version {self.table_version}" if self.table_version else ""
        rows = [
            ("head", f"{self.head}: {card.about}"),
            ("vectors", f"{card.encoder}, fingerprint {self.fingerprint}{version}"),
            ("scored", f"breasts {tally.breasts}, exams {self.exams}, patients {self.patients}; from {self.source}"),
            ("score", MEANING),
            *([("outputs", f"score_0, score_1, ... are {card.answers}")] if card.answers else []),
            ("threshold", self.threshold),
        ]
        if card.origin == DECLARED:
            rows.append(("", "imported: task and vectors on the head's card were stated, not checked"))
        if card.threshold is not None:
            rows.append(("  at or above", str(tally.at_or_above)))
        rows += [(f"  {flag}", f"{count} breasts, scored on the other views") for flag, count in (+tally.flags).items()]
        seen = ", ".join(f"{count} in {split}" for split, count in sorted((+tally.splits).items()))
        rows += [("  in its search", f"{seen}: train and val breasts were used in fitting")] if seen else []
        rows += self._refusals()
        rows += [("top tiles", f"none: {self.no_tiles}")] if self.no_tiles else []
        rows.append(("written", ", ".join(self.written) + ", and the predictions table of the store" * self.kept))
        rows.append(("time", f"{self.wall_s:.1f} s"))
        return aligned([(name, visible(value)) for name, value in rows])

    def _refusals(self) -> list[tuple[str, str]]:
        if self.refused is None:
            return []
        named = sorted(self.refused.items(), key=lambda one: (-one[1], one[0]))[:NAMED]
        total = str(sum(self.refused.values()))
        return [("images not used", total), *(("", f"{count} x {reason}") for reason, count in named)]

    def _breasts(self) -> str:
        rows = [("breast", "score    threshold  views   tile with most attention (image, x y width height)")]
        return aligned([*rows, *((visible(row.breast_id), _line(row)) for row in self.tally.first)])


def _line(row: BreastScore) -> str:
    decision = {True: "at/above", False: "below", None: "-"}[row.at_or_above]
    scores = " ".join(f"{score:.5f}" for score in row.scores)
    views = " ".join(row.views) + (f" ({row.flag})" if row.flag else "")
    tile = row.tiles[0] if row.tiles else None
    where = (
        f"{tile.view} {tile.image_id}, {tile.box.x} {tile.box.y} {tile.box.width} {tile.box.height}" if tile else "-"
    )
    return f"{scores:<7}  {decision:<9}  {views:<6}  {visible(where)}"
