from dataclasses import replace

import numpy as np
import pytest

from tilebank.errors import DatasetError, LeakageError
from tilebank.evaluation.metrics import operating_point, roc_auc, threshold_at_sensitivity, youden_threshold
from tilebank.evaluation.report import Evaluation, evaluate
from tilebank.evaluation.scores import ScoredBreasts


def scored(split: str, seed: int, *, patients: int = 40, shift: float = 0.0) -> ScoredBreasts:
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(patients), 2)
    labels = rng.integers(0, 2, patient.size)
    logits = 1.5 * labels + rng.normal(size=patient.size) - 0.7 + shift
    ids = tuple(f"{split}{index}" for index in patient)
    breasts = tuple(f"{name}_{side}" for name, side in zip(ids, "LR" * patients, strict=True))
    return ScoredBreasts(1 / (1 + np.exp(-logits)), labels, ids, breasts)


@pytest.fixture(scope="module")
def found() -> Evaluation:
    return evaluate(scored("v", 0), scored("t", 1, shift=0.5), replicates=200, seed=5)


def test_thresholds_come_from_validation_and_rates_from_test(found: Evaluation) -> None:
    val, test = scored("v", 0), scored("t", 1, shift=0.5)
    chosen = threshold_at_sensitivity(val.scores, val.labels, sensitivity=0.9)
    assert found.at_sensitivity == operating_point(test.scores, test.labels, threshold=chosen)
    assert found.at_youden.threshold == youden_threshold(val.scores, val.labels)
    assert found.at_sensitivity.threshold != found.oracle_at_sensitivity.threshold
    assert found.oracle_at_sensitivity.sensitivity >= 0.9


def test_oracle_and_published_figures_are_never_below_their_honest_twins(found: Evaluation) -> None:
    assert found.oracle_balanced_accuracy >= found.balanced_accuracy.value
    assert found.oracle_balanced_accuracy >= found.published_bacc
    assert found.oracle_at_sensitivity.specificity >= found.published_spec_at_sens


def test_every_interval_holds_its_figure(found: Evaluation) -> None:
    rates = (found.specificity, found.sensitivity, found.balanced_accuracy)
    for estimate in (found.auc, found.auprc, found.brier, *rates):
        assert estimate.interval.low < estimate.value < estimate.interval.high
        assert estimate.interval.replicates == 200


def test_counts_say_what_stands_behind_the_figures(found: Evaluation) -> None:
    test = scored("t", 1, shift=0.5)
    assert (found.test_counts.breasts, found.test_counts.patients) == (80, 40)
    assert found.test_counts.positives == test.labels.sum()


def test_metrics_are_flat_plain_numbers(found: Evaluation) -> None:
    figures = found.as_metrics()
    assert {type(value) for value in figures.values()} == {float}
    assert all(np.isfinite(value) for value in figures.values())
    assert figures["test_auc"] == found.auc.value
    assert figures["test_auc_low"] == found.auc.interval.low
    assert figures["test_spec_at_sens"] == found.at_sensitivity.specificity
    assert figures["test_sens_reached"] == found.at_sensitivity.sensitivity
    assert figures["test_bacc"] == found.at_youden.balanced_accuracy
    assert figures["test_patients"] == 40


def test_the_table_is_aligned_and_shows_the_auc_with_its_interval(found: Evaluation) -> None:
    lines = found.as_text().splitlines()
    interval = found.auc.interval
    assert f"{found.auc.value:.3f}  {interval.low:.3f} to {interval.high:.3f}" in lines[1]
    figures = [line for line in lines if line.startswith("  ")]
    assert len(figures) == 13
    assert {line.index(".") for line in figures} == {22}


def test_a_constant_score_of_the_prevalence_is_what_the_brier_score_is_held_against(found: Evaluation) -> None:
    test = scored("t", 1, shift=0.5)
    share = test.labels.mean()
    assert found.brier_of_prevalence == pytest.approx(np.mean((share - test.labels) ** 2), abs=1e-12)
    assert found.balanced_accuracy_at_half == operating_point(test.scores, test.labels, threshold=0.5).balanced_accuracy


def test_the_same_seed_repeats_the_evaluation(found: Evaluation) -> None:
    assert evaluate(scored("v", 0), scored("t", 1, shift=0.5), replicates=200, seed=5) == found


def test_auc_of_the_report_is_the_exact_one(found: Evaluation) -> None:
    test, val = scored("t", 1, shift=0.5), scored("v", 0)
    assert found.auc.value == roc_auc(test.scores, test.labels)
    assert found.val_auc == roc_auc(val.scores, val.labels)


def test_a_patient_in_both_splits_raises() -> None:
    val = scored("v", 0)
    test = replace(scored("t", 1), patients=("v7", *scored("t", 1).patients[1:]))
    with pytest.raises(LeakageError, match=r"1 patients in val and test: \['v7'\]"):
        evaluate(val, test, replicates=10, seed=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patients": ("a",)}, "1 patients and 80 breast ids"),
        ({"breast_ids": ("same",) * 80}, "79 breasts are scored more than once"),
        ({"scores": np.full(80, 1.5)}, "80 of 80 scores are not probabilities"),
        ({"labels": np.zeros(80)}, "0 positive and 80 negative"),
    ],
)
def test_scores_that_can_not_be_evaluated_raise(changes: dict, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        replace(scored("v", 0), **changes)
