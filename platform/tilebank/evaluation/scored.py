"""Scores laid beside labels and patients, and figures beside their intervals: the records that evaluation passes on."""

from dataclasses import dataclass

from tilebank.errors import DatasetError
from tilebank.evaluation import metrics
from tilebank.evaluation.bootstrap import Interval
from tilebank.evaluation.metrics import Labels, Scores


@dataclass(frozen=True, eq=False)
class Scored:
    """The scored breasts of one split, row by row: probability (B,), label 0/1 (B,), patient and breast id.

    Raises DatasetError where the four do not fit, a score is no probability, a class is missing, or a breast stands
    twice.
    """

    scores: Scores
    labels: Labels
    patients: tuple[str, ...]
    breast_ids: tuple[str, ...]

    def __post_init__(self) -> None:
        metrics.positives_of(self.scores, self.labels)
        metrics.assert_probabilities(self.scores)
        if not len(self.patients) == len(self.breast_ids) == self.scores.size:
            raise DatasetError(
                f"{self.scores.size} scores, {len(self.patients)} patients and {len(self.breast_ids)} breast ids; "
                "pass one of each a breast"
            )
        repeated = len(self.breast_ids) - len(set(self.breast_ids))
        if repeated:
            raise DatasetError(f"{repeated} breasts are scored more than once; pass one row a breast")


@dataclass(frozen=True)
class Estimate:
    """A figure with its patient-level interval."""

    value: float
    interval: Interval

    def as_text(self) -> str:
        """`0.812 (0.740 to 0.871)`."""
        return f"{self.value:.3f} ({self.interval.low:.3f} to {self.interval.high:.3f})"


@dataclass(frozen=True)
class Counts:
    """How much stands behind some figures."""

    breasts: int
    positives: int
    patients: int


def counts_of(scored: Scored) -> Counts:
    """Breasts, positive ones, and patients of a split."""
    return Counts(scored.scores.size, int((scored.labels == 1).sum()), len(set(scored.patients)))
