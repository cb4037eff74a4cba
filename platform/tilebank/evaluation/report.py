"""Evaluate one head on the test split, with thresholds chosen on validation."""

from dataclasses import asdict, dataclass

from tilebank.evaluation import metrics
from tilebank.evaluation.calibration import brier_interval, brier_score, expected_calibration_error
from tilebank.evaluation.intervals.bootstrap import (
    RateIntervals,
    auc_interval,
    average_precision_interval,
    rate_intervals,
)
from tilebank.evaluation.metrics import OperatingPoint
from tilebank.evaluation.scores import Counts, Estimate, ScoredBreasts, assert_no_shared_patients, counts_of


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found. `at_sensitivity` and `at_youden` hold thresholds chosen on validation, applied to test.

    The intervals of rates take these thresholds as given. `brier_of_prevalence` is what a constant score of the test
    split's own prevalence gets. `ece` has no interval: replicates hold breasts twice, which moves it upward. `oracle_`
    points chose their threshold on the test split itself, and `published_` figures follow the published code (see
    metrics): both are optimistic, for comparison only.
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
    published_bacc_sensitive: float
    balanced_accuracy_at_half: float
    brier: Estimate
    brier_of_prevalence: float
    ece: float

    @property
    def threshold_rule(self) -> str:
        """What `at_sensitivity.threshold` means, in words."""
        counts = self.val_counts
        return (
            f"the best specificity on validation ({counts.breasts} breasts of {counts.patients} patients,"
            f" {counts.positives} positive) with a sensitivity of at least {self.sensitivity_wanted:g} there"
        )

    def as_metrics(self) -> dict[str, float]:
        """Flat names for the record of runs: `test_auc`, `test_auc_low`, `test_auc_high`, ..."""
        figures = {"val_auc": self.val_auc}
        for name, estimate in (
            ("test_auc", self.auc),
            ("test_auprc", self.auprc),
            ("test_spec_at_sens", self.specificity),
            ("test_sens_reached", self.sensitivity),
            ("test_bacc", self.balanced_accuracy),
            ("test_brier", self.brier),
        ):
            figures |= estimate.as_metrics(name)
        for split, counts in (("val", self.val_counts), ("test", self.test_counts)):
            figures |= {f"{split}_{unit}": float(count) for unit, count in asdict(counts).items()}
        return figures | {
            "threshold_at_sens": self.at_sensitivity.threshold,
            "threshold_youden": self.at_youden.threshold,
            "test_brier_of_prevalence": self.brier_of_prevalence,
            "test_ece": self.ece,
            "test_bacc_at_half": self.balanced_accuracy_at_half,
            "test_oracle_spec_at_sens": self.oracle_at_sensitivity.specificity,
            "test_oracle_bacc": self.oracle_balanced_accuracy,
            "test_published_spec_at_sens": self.published_spec_at_sens,
            "test_published_bacc": self.published_bacc,
            "test_published_bacc_sensitive": self.published_bacc_sensitive,
        }

    def as_card(self) -> dict[str, str]:
        """What travels with the head: the threshold that was chosen on validation, and what it means."""
        return {"threshold": repr(self.at_sensitivity.threshold), "threshold_rule": self.threshold_rule}

    def as_columns(self) -> dict[str, Estimate]:
        """The test figures that a table of several searches shows."""
        return {"test AUC": self.auc, f"Spec@Sens={self.sensitivity_wanted:g}": self.specificity}

    def as_text(self) -> str:
        """A small aligned table, one figure per line."""
        interval, wanted, counts = self.auc.interval, self.sensitivity_wanted, self.test_counts
        at_sensitivity = f"threshold {self.at_sensitivity.threshold:.4f}, chosen on val for sensitivity {wanted:g}"
        at_youden = f"threshold {self.at_youden.threshold:.4f}, chosen on val (Youden)"
        lines = [
            f"test: {counts.breasts} breasts of {counts.patients} patients, {counts.positives} positive; "
            f"intervals {interval.level:.0%}, {interval.replicates} patient replicates",
            self.auc.as_line("AUC", f"val {self.val_auc:.3f}"),
            self.auprc.as_line("AUPRC", f"prevalence {counts.positives / counts.breasts:.3f}"),
            self.specificity.as_line("specificity", at_sensitivity),
            self.sensitivity.as_line("sensitivity", at_sensitivity),
            self.balanced_accuracy.as_line("balanced accuracy", at_youden),
            _line("balanced accuracy", self.balanced_accuracy_at_half, "threshold 0.5"),
            self.brier.as_line("Brier score", f"a constant score of prevalence gets {self.brier_of_prevalence:.3f}"),
            _line("calibration error", self.ece, "10 bins of equal mass"),
            "optimistic, for comparison only: thresholds chosen on test",
            _line("specificity", self.oracle_at_sensitivity.specificity, f"exact ROC, sensitivity {wanted:g}"),
            _line("balanced accuracy", self.oracle_balanced_accuracy, "exact ROC"),
            _line("specificity", self.published_spec_at_sens, f"published grid, sensitivity {wanted:g}"),
            _line("balanced accuracy", self.published_bacc, "published grid"),
            _line("balanced accuracy", self.published_bacc_sensitive, "published grid, sensitivity weighed 0.75"),
        ]
        return "\n".join(lines)


def evaluate(
    val: ScoredBreasts,
    test: ScoredBreasts,
    *,
    replicates: int = 2000,
    seed: int,
    sensitivity: float = 0.9,
    level: float = 0.95,
) -> Evaluation:
    """All figures of the test scores, with thresholds chosen on the validation scores of the same head.

    Raises LeakageError where a patient stands in both, DatasetError where an interval can not be made.
    """
    assert_no_shared_patients(val.patients, test.patients)
    scores, labels, patients = test.scores, test.labels, test.patients
    at_sensitivity = _apply(metrics.threshold_at_sensitivity(val.scores, val.labels, sensitivity=sensitivity), test)
    at_youden = _apply(metrics.youden_threshold(val.scores, val.labels), test)

    def rates(point: OperatingPoint) -> RateIntervals:  # one seed: every figure sees the same replicates
        at = point.threshold
        return rate_intervals(scores, labels, patients, threshold=at, replicates=replicates, seed=seed, level=level)

    drawn = {"replicates": replicates, "seed": seed}
    wanted, prevalence = rates(at_sensitivity), counts_of(test).positives / scores.size
    return Evaluation(
        seed=seed,
        val_counts=counts_of(val),
        test_counts=counts_of(test),
        val_auc=_auc(val),
        auc=Estimate(_auc(test), auc_interval(scores, labels, patients, **drawn, level=level)),
        auprc=Estimate(
            metrics.average_precision(scores, labels),
            average_precision_interval(scores, labels, patients, **drawn, level=level),
        ),
        sensitivity_wanted=sensitivity,
        at_sensitivity=at_sensitivity,
        specificity=Estimate(at_sensitivity.specificity, wanted.specificity),
        sensitivity=Estimate(at_sensitivity.sensitivity, wanted.sensitivity),
        at_youden=at_youden,
        balanced_accuracy=Estimate(at_youden.balanced_accuracy, rates(at_youden).balanced_accuracy),
        oracle_at_sensitivity=metrics.specificity_at_sensitivity(scores, labels, sensitivity=sensitivity),
        oracle_balanced_accuracy=_apply(metrics.youden_threshold(scores, labels), test).balanced_accuracy,
        published_spec_at_sens=metrics.published_spec_at_sens(scores, labels, sensitivity=sensitivity),
        published_bacc=metrics.published_bacc(scores, labels),
        published_bacc_sensitive=metrics.published_bacc(scores, labels, sensitivity_weight=0.75),
        balanced_accuracy_at_half=_apply(0.5, test).balanced_accuracy,
        brier=Estimate(brier_score(scores, labels), brier_interval(scores, labels, patients, **drawn, level=level)),
        brier_of_prevalence=prevalence * (1 - prevalence),
        ece=expected_calibration_error(scores, labels),
    )


def _apply(threshold: float, scored: ScoredBreasts) -> OperatingPoint:
    return metrics.operating_point(scored.scores, scored.labels, threshold=threshold)


def _auc(scored: ScoredBreasts) -> float:
    return float(metrics.roc_auc(scored.scores, scored.labels))


def _line(name: str, figure: float, note: str) -> str:
    return f"  {name:<18} {figure:.3f}  {'':<14}  {note}"
