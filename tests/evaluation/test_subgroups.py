import numpy as np
import pytest

from tilebank.errors import DatasetError
from tilebank.evaluation.intervals.bootstrap import auc_interval, rate_intervals
from tilebank.evaluation.metrics import operating_point, roc_auc
from tilebank.evaluation.subgroups import Subgroup, evaluate_subgroups

PATIENTS = [f"p{index // 2:03d}" for index in range(160)]


def split() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 160)
    return 1 / (1 + np.exp(-(1.5 * labels + rng.normal(size=160) - 0.7))), labels


def found(groups: list[str], **options: float) -> dict[str, Subgroup]:
    scores, labels = split()
    parts = evaluate_subgroups(
        scores, labels, PATIENTS, groups, column="vendor", threshold=0.4, replicates=100, seed=3, **options
    )
    return {part.value: part for part in parts}


def test_a_part_is_what_its_breasts_alone_would_give_at_the_threshold_of_the_whole() -> None:
    scores, labels = split()
    part = found(["acme"] * 100 + ["other"] * 60)["acme"]
    point = operating_point(scores[:100], labels[:100], threshold=0.4)
    options = {"replicates": 100, "seed": 3}
    assert part.auc.value == roc_auc(scores[:100], labels[:100])
    assert part.auc.interval == auc_interval(scores[:100], labels[:100], PATIENTS[:100], **options)
    rates = rate_intervals(scores[:100], labels[:100], PATIENTS[:100], threshold=0.4, **options)
    assert (part.sensitivity.value, part.sensitivity.interval) == (point.sensitivity, rates.sensitivity)
    assert (part.specificity.value, part.specificity.interval) == (point.specificity, rates.specificity)
    assert (part.counts.breasts, part.counts.patients) == (100, 50)


def test_parts_are_sorted_and_what_is_not_known_comes_last() -> None:
    groups = ["b"] * 60 + [""] * 50 + ["a"] * 50
    assert list(found(groups)) == ["a", "b", "unknown"]
    assert sum(part.counts.breasts for part in found(groups).values()) == 160


def test_a_part_with_too_few_patients_of_a_class_gets_counts_and_no_figures() -> None:
    _, labels = split()
    negatives = np.flatnonzero(labels == 0)[:9]
    groups = ["small" if place in negatives or labels[place] else "rest" for place in range(160)]
    small = found(groups)["small"]
    count = len({PATIENTS[place] for place in negatives})
    assert small.withheld == f"{count} patients with a negative breast, fewer than 10"
    assert (small.auc, small.sensitivity, small.specificity) == (None, None, None)
    assert small.counts.breasts == labels.sum() + 9
    assert found(groups, minimum=count)["small"].withheld == ""


def test_a_part_of_one_class_is_withheld_whatever_the_minimum() -> None:
    _, labels = split()
    parts = found(["ill" if label else "well" for label in labels], minimum=0)
    assert "0 patients with a positive breast" in parts["well"].withheld
    assert "0 patients with a negative breast" in parts["ill"].withheld


def test_a_column_that_does_not_fit_raises() -> None:
    with pytest.raises(DatasetError, match="3 values of 'vendor' for 160 scores"):
        found(["a"] * 3)
