"""All figures of one set of scores, thresholds frozen on validation. Knows scores and labels, not who made them."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from operator import attrgetter

from tilebank.errors import DatasetError, LeakageError
from tilebank.evaluation import metrics
from tilebank.evaluation.bootstrap import Interval, auc_interval, average_precision_interval, bootstrap_interval
from tilebank.evaluation.calibration import brier_score, expected_calibration_error
from tilebank.evaluation.metrics import Labels, OperatingPoint, Scores


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
    """A figure on the test split with its patient-level interval."""

    value: float
    interval: Interval


@dataclass(frozen=True)
class Counts:
    """How much stands behind the figures of one split."""

    breasts: int
    positives: int
    patients: int


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found. `at_sensitivity` and `at_youden` hold thresholds chosen on validation, applied to test.

    The intervals of rates take these thresholds as given. `oracle_` points chose their threshold on the test split
    itself, and `published_` figures follow the published code (see metrics): both are optimistic, for comparison only.
    """

    seed: int
    val_counts: Counts
    test_counts: Counts
    val_auc: float
    auc: Estimate
    auprc: Estimate
    sensitivity_wanted: float
    at_sensitivity: OperatingPoint
    specificity: Estimate
    sensitivity: Estimate
    at_youden: OperatingPoint
    balanced_accuracy: Estimate
    oracle_at_sensitivity: OperatingPoint
    oracle_balanced_accuracy: float
    published_spec_at_sens: float
    published_bacc: float
    brier: float
    ece: float

    def as_metrics(self) -> dict[str, float]:
        """Flat names for the record of runs: `test_auc`, `test_auc_low`, `test_auc_high`, ..."""
        figures = {"val_auc": self.val_auc}
        for name, estimate in (
            ("test_auc", self.auc),
            ("test_auprc", self.auprc),
            ("test_spec_at_sens", self.specificity),
            ("test_sens_reached", self.sensitivity),
            ("test_bacc", self.balanced_accuracy),
        ):
            interval = estimate.interval
            figures |= {name: estimate.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
        for split, counts in (("val", self.val_counts), ("test", self.test_counts)):
            figures |= {f"{split}_{unit}": float(count) for unit, count in asdict(counts).items()}
        return figures | {
            "threshold_at_sens": self.at_sensitivity.threshold,
            "threshold_youden": self.at_youden.threshold,
            "test_brier": self.brier,
            "test_ece": self.ece,
            "test_oracle_spec_at_sens": self.oracle_at_sensitivity.specificity,
            "test_oracle_bacc": self.oracle_balanced_accuracy,
            "test_published_spec_at_sens": self.published_spec_at_sens,
            "test_published_bacc": self.published_bacc,
        }

    def as_text(self) -> str:
        """A small aligned table for people, one figure a line."""
        interval, wanted, counts = self.auc.interval, self.sensitivity_wanted, self.test_counts
        at_sensitivity = f"threshold {self.at_sensitivity.threshold:.4f}, chosen on val for sensitivity {wanted:g}"
        at_youden = f"threshold {self.at_youden.threshold:.4f}, chosen on val (Youden)"
        lines = [
            f"test: {counts.breasts} breasts of {counts.patients} patients, {counts.positives} positive; "
            f"intervals {interval.level:.0%}, {interval.replicates} patient replicates",
            _line("AUC", self.auc, f"val {self.val_auc:.3f}"),
            _line("AUPRC", self.auprc, f"prevalence {counts.positives / counts.breasts:.3f}"),
            _line("specificity", self.specificity, at_sensitivity),
            _line("sensitivity", self.sensitivity, at_sensitivity),
            _line("balanced accuracy", self.balanced_accuracy, at_youden),
            _line("Brier score", self.brier),
            _line("calibration error", self.ece, "10 bins of equal mass"),
            "optimistic, for comparison only: thresholds chosen on test",
            _line("specificity", self.oracle_at_sensitivity.specificity, f"exact ROC, sensitivity {wanted:g}"),
            _line("balanced accuracy", self.oracle_balanced_accuracy, "exact ROC"),
            _line("specificity", self.published_spec_at_sens, f"published grid, sensitivity {wanted:g}"),
            _line("balanced accuracy", self.published_bacc, "published grid"),
        ]
        return "\n".join(lines)


def evaluate(
    val: Scored, test: Scored, *, replicates: int = 2000, seed: int, sensitivity: float = 0.9, level: float = 0.95
) -> Evaluation:
    """All figures of the test scores, with thresholds chosen on the validation scores of the same head.

    Raises LeakageError where a patient stands in both, DatasetError where an interval can not be made.
    """
    _assert_apart(val, test)
    scores, labels = test.scores, test.labels
    chosen = metrics.threshold_at_sensitivity(val.scores, val.labels, sensitivity=sensitivity)
    at_sensitivity = metrics.operating_point(scores, labels, threshold=chosen)
    at_youden = metrics.operating_point(scores, labels, threshold=metrics.youden_threshold(val.scores, val.labels))
    oracle_youden = metrics.operating_point(scores, labels, threshold=metrics.youden_threshold(scores, labels))
    resampling = _Resampling(test, replicates, seed, level)
    return Evaluation(
        seed=seed,
        val_counts=_counts(val),
        test_counts=_counts(test),
        val_auc=_auc(val),
        auc=resampling.estimate(_auc(test), auc_interval),
        auprc=resampling.estimate(metrics.average_precision(scores, labels), average_precision_interval),
        sensitivity_wanted=sensitivity,
        at_sensitivity=at_sensitivity,
        specificity=resampling.rate("specificity", at_sensitivity),
        sensitivity=resampling.rate("sensitivity", at_sensitivity),
        at_youden=at_youden,
        balanced_accuracy=resampling.rate("balanced_accuracy", at_youden),
        oracle_at_sensitivity=metrics.specificity_at_sensitivity(scores, labels, sensitivity=sensitivity),
        oracle_balanced_accuracy=oracle_youden.balanced_accuracy,
        published_spec_at_sens=metrics.published_spec_at_sens(scores, labels, sensitivity=sensitivity),
        published_bacc=metrics.published_bacc(scores, labels),
        brier=brier_score(scores, labels),
        ece=expected_calibration_error(scores, labels),
    )


@dataclass(frozen=True)
class _Resampling:
    """Intervals of figures of the test scores; one seed, so that every figure sees the same replicates."""

    test: Scored
    replicates: int
    seed: int
    level: float

    def estimate(self, value: float, interval_of: Callable[..., Interval]) -> Estimate:
        test = self.test
        interval = interval_of(
            test.scores, test.labels, test.patients, replicates=self.replicates, seed=self.seed, level=self.level
        )
        return Estimate(value, interval)

    def rate(self, name: str, point: OperatingPoint) -> Estimate:
        rate_of = attrgetter(name)

        def statistic(scores: Scores, labels: Labels) -> float:
            return float(rate_of(metrics.operating_point(scores, labels, threshold=point.threshold)))

        return self.estimate(float(rate_of(point)), partial(bootstrap_interval, statistic))


def _auc(scored: Scored) -> float:
    return float(metrics.roc_auc(scored.scores, scored.labels))


def _counts(scored: Scored) -> Counts:
    return Counts(scored.scores.size, int((scored.labels == 1).sum()), len(set(scored.patients)))


def _assert_apart(val: Scored, test: Scored) -> None:
    shared = sorted(set(val.patients) & set(test.patients))
    if shared:
        raise LeakageError(f"{len(shared)} patients in val and test: {shared[:5]}; split by patient_id")


def _line(name: str, figure: Estimate | float, note: str = "") -> str:
    if isinstance(figure, Estimate):
        value, span = figure.value, f"{figure.interval.low:.3f} to {figure.interval.high:.3f}"
    else:
        value, span = figure, ""
    return f"  {name:<18} {value:.3f}  {span:<14}  {note}".rstrip()
