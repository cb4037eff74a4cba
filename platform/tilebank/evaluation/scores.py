"""Hold the scores of a split beside its labels and patients, and figures beside their intervals."""

from collections.abc import Sequence
from dataclasses import dataclass

from tilebank.errors import DatasetError, LeakageError
from tilebank.evaluation import metrics
from tilebank.evaluation.intervals.bootstrap import Interval
from tilebank.evaluation.metrics import Labels, Scores


@dataclass(frozen=True, eq=False)
class ScoredBreasts:
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
        assert_rows(self.scores.size, self.patients, self.breast_ids)


@dataclass(frozen=True)
class Estimate:
    """A figure with its patient-level interval."""

    value: float
    interval: Interval

    def as_text(self) -> str:
        """`0.812 (0.740 to 0.871)`."""
        return f"{self.value:.3f} ({self.interval.low:.3f} to {self.interval.high:.3f})"

    def as_metrics(self, name: str) -> dict[str, float]:
        """The figure and both ends of its interval under flat names: `test_auc`, `test_auc_low`, `test_auc_high`."""
        return {name: self.value, f"{name}_low": self.interval.low, f"{name}_high": self.interval.high}

    def as_line(self, name: str, note: str = "") -> str:
        """A line of an aligned table: name, value, interval, note."""
        span = f"{self.interval.low:.3f} to {self.interval.high:.3f}"
        return f"  {name:<18} {self.value:.3f}  {span:<14}  {note}".rstrip()


@dataclass(frozen=True)
class Counts:
    """Sample sizes behind some figures."""

    breasts: int
    positives: int
    patients: int


def counts_of(scored: ScoredBreasts) -> Counts:
    """Breasts, positive ones, and patients of a split."""
    return Counts(scored.scores.size, int((scored.labels == 1).sum()), len(set(scored.patients)))


def assert_no_shared_patients(val: Sequence[str], test: Sequence[str]) -> None:
    """Raise LeakageError if a patient is in both splits."""
    shared = sorted(set(val) & set(test))
    if shared:
        raise LeakageError(f"{len(shared)} patients in val and test: {shared[:5]}; split by patient_id")


def assert_rows(breasts: int, patients: Sequence[str], breast_ids: Sequence[str]) -> None:
    """Raise DatasetError unless there is one patient and one breast id for each scored breast, none of them twice."""
    if not len(patients) == len(breast_ids) == breasts:
        raise DatasetError(
            f"{breasts} scores, {len(patients)} patients and {len(breast_ids)} breast ids; pass one of each per breast"
        )
    repeated = len(breast_ids) - len(set(breast_ids))
    if repeated:
        raise DatasetError(f"{repeated} breasts are scored more than once; pass one row per breast")
