from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from tilebank.errors import DatasetError
from tilebank.evaluation.intervals.bootstrap import tails_of
from tilebank.evaluation.intervals.paired import bootstrap_p_value, compare_scores, holm_p_values
from tilebank.evaluation.metrics import operating_point
from tilebank.evaluation.scores import ScoredBreasts


def two_heads(*, patients: int = 50, gap: float = 0.0, seed: int = 0) -> tuple[ScoredBreasts, ScoredBreasts]:
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(patients), 2)
    labels = rng.integers(0, 2, patient.size)
    shared = rng.normal(size=patients)[patient] + 0.6 * rng.normal(size=patient.size)
    names = tuple(f"p{index}" for index in patient)
    breasts = tuple(f"{name}_{side}" for name, side in zip(names, "LR" * patients, strict=True))
    heads = []
    for strength in (1.0 + gap, 1.0):
        logits = strength * labels + shared + 0.4 * rng.normal(size=patient.size)
        heads.append(ScoredBreasts(1 / (1 + np.exp(-logits)), labels, names, breasts))
    return heads[0], heads[1]


def test_differences_equal_a_plain_loop_over_patients() -> None:
    first, second = two_heads(patients=12, gap=1.0)
    found = compare_scores(first, second, thresholds=(0.6, 0.5), replicates=60, seed=4)
    names, place = np.unique(first.patients, return_inverse=True)
    draws = np.random.default_rng(4).integers(0, 12, size=(60, 12))
    gaps: dict[str, list[float]] = {"auc": [], "auprc": [], "sensitivity": [], "balanced_accuracy": []}
    for draw in draws:
        rows = np.concatenate([np.flatnonzero(place == patient) for patient in draw])
        labels = first.labels[rows]
        if len(set(labels)) < 2:
            continue
        a, b = first.scores[rows], second.scores[rows]
        gaps["auc"].append(roc_auc_score(labels, a) - roc_auc_score(labels, b))
        gaps["auprc"].append(average_precision_score(labels, a) - average_precision_score(labels, b))
        one, other = operating_point(a, labels, threshold=0.6), operating_point(b, labels, threshold=0.5)
        gaps["sensitivity"].append(one.sensitivity - other.sensitivity)
        gaps["balanced_accuracy"].append(one.balanced_accuracy - other.balanced_accuracy)
    assert names.size == 12
    behind = min(len({place[row] for row in range(24) if first.labels[row] == label}) for label in (0, 1))
    for name, values in gaps.items():
        interval = getattr(found, name).estimate.interval
        expected = np.quantile(values, tails_of(0.95, patients=behind))
        assert (interval.low, interval.high) == pytest.approx(tuple(expected), abs=1e-12)
        assert getattr(found, name).p_value == bootstrap_p_value(np.asarray(values), patients=behind)


def test_the_paired_interval_is_narrower_than_one_of_two_separate_samples() -> None:
    first, second = two_heads()
    auc = compare_scores(first, second, replicates=500, seed=0).auc.estimate.interval
    strangers = replace(second, patients=first.patients[::-1], breast_ids=first.breast_ids)
    rng = np.random.default_rng(1)
    order = rng.permutation(len(strangers.patients))
    unpaired = [
        roc_auc_score(first.labels[rows], first.scores[rows])
        - roc_auc_score(second.labels[others], second.scores[others])
        for rows, others in ((rng.choice(order, order.size), rng.choice(order, order.size)) for _ in range(500))
    ]
    assert auc.high - auc.low < 0.8 * (np.quantile(unpaired, 0.975) - np.quantile(unpaired, 0.025))


def test_a_head_does_not_differ_from_itself_and_a_better_one_does() -> None:
    better, worse = two_heads(gap=3.0)
    same = compare_scores(worse, worse, replicates=200, seed=0)
    assert (same.auc.estimate.value, same.auc.p_value, same.delong.p_value) == (0.0, 1.0, 1.0)
    found = compare_scores(better, worse, replicates=200, seed=0)
    assert found.auc.estimate.interval.low > 0
    assert found.auc.p_value < 0.02
    assert found.delong.p_value < 0.01
    assert found.sensitivity is None


def test_the_p_value_is_small_just_where_the_interval_leaves_zero_out() -> None:
    agree = 0
    for seed in range(40):
        first, second = two_heads(patients=25, gap=0.8, seed=seed)
        auc = compare_scores(first, second, replicates=399, seed=seed).auc
        outside = auc.estimate.interval.low > 0 or auc.estimate.interval.high < 0
        agree += outside == (auc.p_value < 0.05)
    assert agree >= 39  # one replicate is added to each side


def test_the_order_of_rows_does_not_matter() -> None:
    first, second = two_heads()
    order = np.random.default_rng(0).permutation(len(first.patients))
    moved = ScoredBreasts(
        second.scores[order],
        second.labels[order],
        tuple(second.patients[place] for place in order),
        tuple(second.breast_ids[place] for place in order),
    )
    assert compare_scores(first, moved, replicates=50, seed=1) == compare_scores(first, second, replicates=50, seed=1)


def test_breasts_or_labels_that_differ_raise() -> None:
    first, second = two_heads()
    with pytest.raises(DatasetError, match="2 breasts have scores from only one of the two"):
        compare_scores(first, replace(second, breast_ids=("other", *second.breast_ids[1:])), replicates=10, seed=0)
    with pytest.raises(DatasetError, match="different labels or patients"):
        compare_scores(first, replace(second, labels=1 - second.labels), replicates=10, seed=0)


def test_p_values_count_ties_on_both_sides_and_are_never_zero() -> None:
    many = 10**9  # patients: Student's t is then normal, and p is twice the share
    assert bootstrap_p_value(np.array([1.0, 2.0, 3.0, np.nan]), patients=many) == pytest.approx(2 / 4)
    assert bootstrap_p_value(np.array([-1.0, 0.0, 1.0]), patients=many) == 1.0
    assert bootstrap_p_value(np.ones(999), patients=many) == pytest.approx(0.002)
    assert bootstrap_p_value(np.ones(999), patients=20) > 0.002


def test_holm_of_a_hand_worked_case() -> None:
    # .01 * 4, .02 * 3, then .03 * 2 and .04 * 1 may not fall below what came before.
    assert holm_p_values([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm_p_values([0.9, 0.8]) == [1.0, 1.0]
