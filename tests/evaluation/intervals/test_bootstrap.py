from functools import partial
from math import erf

import numpy as np
import pytest
from scipy.stats import beta, norm, t
from sklearn.metrics import average_precision_score, roc_auc_score

from tilebank.errors import DatasetError
from tilebank.evaluation.calibration import brier_interval, brier_score
from tilebank.evaluation.intervals.bootstrap import (
    auc_interval,
    average_precision_interval,
    bootstrap_interval,
    interval_of,
    rate_intervals,
    roc_band,
    tails_of,
)
from tilebank.evaluation.metrics import operating_point, roc_auc, roc_curve


def clustered(patients: int, seed: int, *, breasts: int = 4) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """A patient's breasts share a label and a large random shift: far from independent."""
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(patients), breasts)
    labels = (np.arange(patients) % 2)[patient]
    scores = 1.5 * labels + rng.normal(size=patients)[patient] + 0.5 * rng.normal(size=patient.size)
    return scores, labels, [f"p{index}" for index in patient]


def test_vectorised_auc_interval_equals_a_plain_loop_with_ties() -> None:
    scores, labels, patients = clustered(25, seed=0, breasts=3)
    scores = np.round(scores)
    fast = auc_interval(scores, labels, patients, replicates=150, seed=3)
    loop = bootstrap_interval(lambda s, y: roc_auc_score(y, s), scores, labels, patients, replicates=150, seed=3)
    assert (fast.low, fast.high) == pytest.approx((loop.low, loop.high), abs=1e-12)
    assert fast.skipped == loop.skipped


def test_vectorised_average_precision_interval_equals_a_plain_loop_with_ties() -> None:
    scores, labels, patients = clustered(25, seed=1, breasts=3)
    scores = np.round(scores)
    fast = average_precision_interval(scores, labels, patients, replicates=150, seed=3)
    statistic = partial(_swapped, average_precision_score)
    loop = bootstrap_interval(statistic, scores, labels, patients, replicates=150, seed=3)
    assert (fast.low, fast.high) == pytest.approx((loop.low, loop.high), abs=1e-12)


def _swapped(score, scores: np.ndarray, labels: np.ndarray) -> float:
    return score(labels, scores)


def test_all_breasts_of_a_drawn_patient_come_together() -> None:
    scores, labels, patients = clustered(6, seed=2)
    drawn_sizes: list[np.ndarray] = []

    def record(drawn: np.ndarray, _: np.ndarray) -> float:
        drawn_sizes.append(np.array([np.count_nonzero(drawn == score) for score in scores]).reshape(6, 4))
        return 0.0

    bootstrap_interval(record, scores, labels, patients, replicates=20, seed=0)
    sizes = np.asarray(drawn_sizes)  # (R, patients, breasts)
    assert (sizes == sizes[:, :, :1]).all()
    assert (sizes[:, :, 0].sum(axis=1) == 6).all()
    assert sizes.max() > 1


@pytest.mark.parametrize("interval", [auc_interval, average_precision_interval])
def test_an_interval_depends_on_the_seed_and_not_on_the_order_of_rows(interval) -> None:
    scores, labels, patients = clustered(20, seed=3)
    order = np.random.default_rng(0).permutation(scores.size)
    first = interval(scores, labels, patients, replicates=100, seed=7)
    shuffled = interval(scores[order], labels[order], [patients[i] for i in order], replicates=100, seed=7)
    assert first == shuffled
    assert first != interval(scores, labels, patients, replicates=100, seed=8)


def test_draws_in_many_pieces_give_the_number_of_replicates_asked_for() -> None:
    scores, labels, patients = clustered(1000, seed=4)  # 4000 breasts: 250 replicates at a time
    count = []
    bootstrap_interval(lambda s, _: float(len(count.append(1) or s)), scores, labels, patients, replicates=600, seed=0)
    assert len(count) == 600


def test_replicates_of_one_class_are_left_out_and_counted() -> None:
    # One positive patient among three is missing from (2/3)^3 = 29.6 % of the replicates; it alone is drawn in 3.7 %.
    scores, labels = np.array([0.9, 0.2, 0.4]), np.array([1, 0, 0])
    patients = ["a", "b", "c"]
    fast = auc_interval(scores, labels, patients, replicates=800, seed=0)
    loop = bootstrap_interval(roc_auc, scores, labels, patients, replicates=800, seed=0)
    assert fast.skipped == loop.skipped
    assert fast.skipped / 800 == pytest.approx(1 / 3, abs=0.05)
    assert fast.replicates == 800


def test_the_interval_of_clustered_breasts_is_wider_than_if_they_were_independent() -> None:
    scores, labels, patients = clustered(60, seed=5)
    breasts = [str(index) for index in range(len(patients))]
    by_patient = auc_interval(scores, labels, patients, seed=0)
    by_breast = auc_interval(scores, labels, breasts, seed=0)
    assert by_patient.high - by_patient.low > 1.4 * (by_breast.high - by_breast.low)


def test_patient_intervals_cover_the_truth_and_breast_intervals_do_not() -> None:
    # Positive minus negative is normal with mean 1.5 and variance 2 (1 + .25).
    truth = 0.5 * (1 + erf(1.5 / np.sqrt(2.5) / np.sqrt(2)))
    covered = {"patient": 0, "breast": 0}
    for study in range(150):
        scores, labels, patients = clustered(60, seed=1000 + study)
        units = {"patient": patients, "breast": [str(index) for index in range(len(patients))]}
        for unit, names in units.items():
            interval = auc_interval(scores, labels, names, replicates=300, seed=study)
            covered[unit] += interval.low <= truth <= interval.high
    assert 0.88 <= covered["patient"] / 150 <= 0.99
    assert covered["breast"] / 150 < 0.85


@pytest.mark.long
def test_a_95_percent_interval_of_the_auc_covers_93_to_97_percent_of_600_studies() -> None:
    # 100 patients with two breasts each; 600 studies have a standard error of 0.9 %.
    truth, studies, covered = 0.5 * (1 + erf(1.19 / 2)), 600, 0
    rng = np.random.default_rng(20)
    patient = np.repeat(np.arange(100), 2)
    names = [f"p{index:03d}" for index in patient]
    for study in range(studies):
        labels = (rng.random(200) < 0.3).astype(int)
        scores = 1.19 * labels + 0.7 * rng.normal(size=100)[patient] + np.sqrt(0.51) * rng.normal(size=200)
        interval = auc_interval(scores, labels, names, replicates=600, seed=study)
        covered += interval.low <= truth <= interval.high
    assert 0.93 <= covered / studies <= 0.97


def test_a_lower_level_gives_a_narrower_interval() -> None:
    scores, labels, patients = clustered(30, seed=6)
    wide = auc_interval(scores, labels, patients, seed=0, level=0.95)
    narrow = auc_interval(scores, labels, patients, seed=0, level=0.5)
    assert wide.low < narrow.low < narrow.high < wide.high
    assert narrow.level == 0.5


@pytest.mark.parametrize("name", ["sensitivity", "specificity", "balanced_accuracy"])
def test_rate_intervals_equal_a_plain_loop(name: str) -> None:
    scores, labels, patients = clustered(30, seed=9)

    def rate(drawn: np.ndarray, truth: np.ndarray) -> float:
        return getattr(operating_point(drawn, truth, threshold=0.7), name)

    found = getattr(rate_intervals(scores, labels, patients, threshold=0.7, replicates=150, seed=3), name)
    loop = bootstrap_interval(rate, scores, labels, patients, replicates=150, seed=3)
    assert (found.low, found.high) == pytest.approx((loop.low, loop.high), abs=1e-12)
    assert 0 < found.low < found.high < 1


def test_a_rate_of_one_gets_the_exact_interval_of_its_patients() -> None:
    # 20 patients with positive breasts, all called: the low end is 0.025 ** (1 / 20).
    scores, labels, patients = clustered(40, seed=10)
    found = rate_intervals(scores, labels, patients, threshold=-100.0, replicates=100, seed=0)
    exact = beta.ppf(0.025, 20, 1)
    assert (found.sensitivity.low, found.sensitivity.high) == (pytest.approx(exact, abs=1e-12), 1.0)
    assert (found.specificity.low, found.specificity.high) == (0.0, pytest.approx(1 - exact, abs=1e-12))
    # Each rate can move by 1 - exact on one side: half of that, by squares, for their mean of one half.
    assert found.balanced_accuracy.low == pytest.approx(0.5 - (1 - exact) / 2, abs=1e-12)
    assert found.balanced_accuracy.high == pytest.approx(0.5 + (1 - exact) / 2, abs=1e-12)


def test_the_tails_are_those_of_the_expanded_percentile_interval() -> None:
    low, high = tails_of(0.95, patients=20)
    assert low == pytest.approx(norm.cdf(-np.sqrt(20 / 19) * t.ppf(0.975, 19)), abs=1e-12)
    assert high == pytest.approx(1 - low, abs=1e-12)
    assert tails_of(0.95, patients=10**9) == pytest.approx((0.025, 0.975))
    assert tails_of(0.95, patients=1) == (0.0, 1.0)


def test_replicates_that_are_not_defined_are_left_out_and_counted() -> None:
    interval = interval_of(np.array([1.0, np.nan, 3.0, 2.0]), patients=10**9, level=0.5)
    assert (interval.low, interval.high) == (pytest.approx(1.5), pytest.approx(2.5))
    assert (interval.replicates, interval.skipped) == (4, 1)


def test_brier_interval_equals_a_plain_loop() -> None:
    scores, labels, patients = clustered(30, seed=11)
    scores = 1 / (1 + np.exp(-scores))
    found = brier_interval(scores, labels, patients, replicates=100, seed=3)
    _, place = np.unique(patients, return_inverse=True)
    draws = np.random.default_rng(3).integers(0, 30, size=(100, 30))
    rows = [np.concatenate([np.flatnonzero(place == patient) for patient in draw]) for draw in draws]
    expected = np.quantile([brier_score(scores[row], labels[row]) for row in rows], tails_of(0.95, patients=30))
    assert (found.low, found.high) == pytest.approx(tuple(expected), abs=1e-12)


def test_roc_band_holds_the_curve_and_ends_in_the_corner() -> None:
    scores, labels, patients = clustered(80, seed=7)
    band = roc_band(scores, labels, patients, replicates=400, seed=0)
    curve = roc_curve(scores, labels)
    rates = np.append(0, curve.false_positives / curve.negatives)
    sensitivities = np.interp(band.false_positive_rates, rates, np.append(0, curve.true_positives / curve.positives))
    assert ((band.low <= sensitivities) & (sensitivities <= band.high)).mean() > 0.95
    assert (band.high - band.low).max() > 0.1
    assert band.low[-1] == band.high[-1] == 1.0


@pytest.mark.parametrize(
    ("patients", "options", "message"),
    [
        (["a", "b"], {}, "2 patient ids for 4 scores"),
        (["a"] * 4, {}, "one patient cannot be resampled"),
        (["a", "a", "b", "b"], {"replicates": 0}, "0 replicates"),
        (["a", "a", "b", "b"], {"level": 95}, "a level of 95"),
    ],
)
def test_what_can_not_be_resampled_raises(patients: list[str], options: dict[str, float], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        auc_interval(np.array([0.1, 0.2, 0.3, 0.4]), np.array([0, 1, 0, 1]), patients, seed=0, **options)


def test_a_split_whose_replicates_all_hold_one_class_raises() -> None:
    with pytest.raises(DatasetError, match="none of 1 replicates held both classes"):
        auc_interval(np.array([0.1, 0.2]), np.array([0, 1]), ["a", "b"], replicates=1, seed=_seed_of_one_class())


def _seed_of_one_class() -> int:
    return next(seed for seed in range(50) if len(set(np.random.default_rng(seed).integers(0, 2, size=(1, 2))[0])) == 1)
