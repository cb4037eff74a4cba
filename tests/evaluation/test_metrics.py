import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from tilebank.errors import DatasetError
from tilebank.evaluation.metrics import (
    average_precision,
    operating_point,
    published_bacc,
    published_spec_at_sens,
    roc_auc,
    roc_curve,
    specificity_at_sensitivity,
    threshold_at_sensitivity,
    youden_threshold,
)


def tied_scores(trials: int, breasts: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = (rng.random(breasts) < 0.3).astype(np.float32)
    labels[:2] = 0, 1
    return np.round(rng.random((trials, breasts)) + 0.2 * labels, 1).astype(np.float32) / 2, labels


# Positives .9 .8 .3, negatives .8 .4 .2 .1: worked by hand in the tests below.
HAND_SCORES = np.array([0.9, 0.8, 0.3, 0.8, 0.4, 0.2, 0.1])
HAND_LABELS = np.array([1, 1, 1, 0, 0, 0, 0])


@pytest.mark.parametrize("seed", range(3))
def test_auc_of_tied_scores_equals_sklearn_in_every_trial(seed: int) -> None:
    scores, labels = tied_scores(7, 83, seed)
    aucs = roc_auc(scores, labels)
    expected = [sklearn_metrics.roc_auc_score(labels, row) for row in scores]
    assert aucs.shape == (7,)
    np.testing.assert_allclose(aucs, expected, rtol=0, atol=1e-12)


def test_auc_of_one_trial_is_a_float_and_counts_ties_half() -> None:
    # 12 pairs: .9 beats 4, .8 beats 3 and ties 1, .3 beats 2 -> 9.5 / 12.
    auc = roc_auc(HAND_SCORES, HAND_LABELS)
    assert type(auc) is float
    assert auc == 9.5 / 12


def test_auc_of_equal_scores_is_one_half() -> None:
    assert roc_auc(np.full(5, 0.3, np.float32), np.array([0, 1, 0, 1, 1])) == 0.5


def test_auc_takes_boolean_integer_and_float_labels() -> None:
    values = {roc_auc(HAND_SCORES, HAND_LABELS.astype(kind)) for kind in (bool, np.int8, np.float32)}
    assert values == {9.5 / 12}


def test_a_diverged_trial_gets_nan_and_leaves_its_pack_alone() -> None:
    scores, labels = tied_scores(3, 40, seed=0)
    expected = roc_auc(scores, labels)
    scores[1, 5] = np.nan
    aucs = roc_auc(scores, labels)
    assert np.isnan(aucs[1])
    np.testing.assert_array_equal(aucs[[0, 2]], expected[[0, 2]])


def test_a_nan_in_one_trial_alone_raises() -> None:
    with pytest.raises(DatasetError, match="1 of 3 scores are not numbers"):
        roc_auc(np.array([0.1, np.nan, 0.3]), np.array([0, 1, 1]))


@pytest.mark.parametrize("shape", [(4,), (2, 4)])
def test_one_class_alone_raises_with_its_counts(shape: tuple[int, ...]) -> None:
    with pytest.raises(DatasetError, match="0 positive and 4 negative"):
        roc_auc(np.zeros(shape), np.zeros(4))


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        (np.zeros(3), np.array([0, 1]), "do not fit"),
        (np.zeros((2, 3)), np.array([0, 1]), "do not fit"),
        (np.zeros((1, 2, 2)), np.array([0, 1]), "pass .trials, breasts."),
        (np.zeros(3), np.array([0, 1, 2]), "1 labels are neither 0 nor 1, such as 2"),
        (np.zeros(3), np.array([0, 1, np.nan]), "neither 0 nor 1, such as nan"),
    ],
)
def test_scores_and_labels_that_do_not_belong_together_raise(
    scores: np.ndarray, labels: np.ndarray, message: str
) -> None:
    with pytest.raises(DatasetError, match=message):
        roc_auc(scores, labels)


def test_roc_points_equal_sklearn() -> None:
    scores, labels = tied_scores(1, 90, seed=2)
    curve = roc_curve(scores[0], labels)
    rates, recalls, thresholds = sklearn_metrics.roc_curve(labels, scores[0], drop_intermediate=False)
    np.testing.assert_allclose(curve.false_positives / curve.negatives, rates[1:])
    np.testing.assert_allclose(curve.true_positives / curve.positives, recalls[1:])
    np.testing.assert_array_equal(curve.thresholds, thresholds[1:])


@pytest.mark.parametrize("seed", range(3))
def test_average_precision_of_tied_scores_equals_sklearn(seed: int) -> None:
    scores, labels = tied_scores(1, 90, seed)
    expected = sklearn_metrics.average_precision_score(labels, scores[0])
    assert average_precision(scores[0], labels) == pytest.approx(expected, abs=1e-12)


def test_operating_point_calls_the_threshold_itself_positive() -> None:
    point = operating_point(HAND_SCORES, HAND_LABELS, threshold=0.8)
    assert (point.sensitivity, point.specificity) == (2 / 3, 3 / 4)
    assert point.balanced_accuracy == pytest.approx((2 / 3 + 3 / 4) / 2)


def test_specificity_at_sensitivity_is_the_exact_roc_point() -> None:
    # All three positives are needed for 0.9: threshold .3, where .8 and .4 are the false positives.
    point = specificity_at_sensitivity(HAND_SCORES, HAND_LABELS, sensitivity=0.9)
    assert (point.threshold, point.sensitivity, point.specificity) == (0.3, 1.0, 0.5)
    # Two of three are enough for 0.6: threshold .8, one false positive.
    point = specificity_at_sensitivity(HAND_SCORES, HAND_LABELS, sensitivity=0.6)
    assert (point.threshold, point.sensitivity, point.specificity) == (0.8, 2 / 3, 0.75)


def test_of_equal_specificities_the_most_sensitive_threshold_is_taken() -> None:
    scores, labels = np.array([0.9, 0.8, 0.7, 0.1]), np.array([1, 1, 1, 0])
    point = specificity_at_sensitivity(scores, labels, sensitivity=0.5)
    assert (point.threshold, point.sensitivity, point.specificity) == (0.7, 1.0, 1.0)


def test_a_sensitivity_met_exactly_counts_as_reached() -> None:
    # 9 of 10 positives lie above every negative.
    scores = np.array([0.9] * 9 + [0.1] + [0.5] * 4)
    labels = np.array([1] * 10 + [0] * 4)
    assert specificity_at_sensitivity(scores, labels, sensitivity=0.9).specificity == 1.0
    assert specificity_at_sensitivity(scores, labels, sensitivity=0.91).specificity == 0.0


@pytest.mark.parametrize("sensitivity", [0.3, 0.5, 0.9, 1.0])
def test_specificity_at_sensitivity_is_the_best_of_all_sklearn_roc_points(sensitivity: float) -> None:
    scores, labels = tied_scores(1, 90, seed=4)
    rates, recalls, _ = sklearn_metrics.roc_curve(labels, scores[0], drop_intermediate=False)
    point = specificity_at_sensitivity(scores[0], labels, sensitivity=sensitivity)
    assert point.specificity == pytest.approx((1 - rates)[recalls >= sensitivity].max())
    assert point == operating_point(scores[0], labels, threshold=point.threshold)


@pytest.mark.parametrize("sensitivity", [0.0, 1.1])
def test_a_sensitivity_that_can_not_be_asked_for_raises(sensitivity: float) -> None:
    with pytest.raises(DatasetError, match="is not possible"):
        specificity_at_sensitivity(HAND_SCORES, HAND_LABELS, sensitivity=sensitivity)


def test_a_threshold_chosen_on_validation_can_miss_its_sensitivity_on_test() -> None:
    threshold = threshold_at_sensitivity(HAND_SCORES, HAND_LABELS, sensitivity=0.9)
    point = operating_point(np.array([0.9, 0.2, 0.25, 0.1]), np.array([1, 1, 0, 0]), threshold=threshold)
    assert (threshold, point.sensitivity, point.specificity) == (0.3, 0.5, 1.0)


def test_youden_takes_the_largest_balanced_accuracy_and_of_equals_the_most_sensitive() -> None:
    # Sensitivity + specificity: .9 -> 4/3; .8 -> 2/3 + 3/4; .4 -> 2/3 + 1/2; .3 -> 1 + 1/2, the largest.
    assert youden_threshold(HAND_SCORES, HAND_LABELS) == 0.3
    # .9 gives 1/2 + 1, .6 gives 1 + 1/2: equal.
    assert youden_threshold(np.array([0.9, 0.6, 0.7, 0.1]), np.array([1, 1, 0, 0])) == 0.6


def test_published_figures_miss_what_lies_between_two_grid_points() -> None:
    # All between 49/99 = .4949 and 50/99 = .5051: the grid calls all positive or none.
    scores, labels = np.array([0.502, 0.503, 0.498, 0.499]), np.array([1, 1, 0, 0])
    assert specificity_at_sensitivity(scores, labels).specificity == 1.0
    assert published_spec_at_sens(scores, labels) == 0.0
    assert published_bacc(scores, labels) == 0.5


def test_published_figures_are_the_best_of_the_grid_where_it_separates() -> None:
    # A threshold from 20/99 to 29/99 keeps all positives and loses .4 and .8: 1/2; .8 and .4 are on no grid point.
    assert published_spec_at_sens(HAND_SCORES, HAND_LABELS) == 0.5
    assert published_bacc(HAND_SCORES, HAND_LABELS) == 0.75


def test_published_figures_call_a_score_on_the_threshold_negative() -> None:
    # Positives of score 0 are never called: no grid point reaches the sensitivity.
    assert published_spec_at_sens(np.array([0.0, 0.5, 0.2]), np.array([1, 1, 0])) == 0.0


def test_the_published_balanced_accuracy_can_weigh_sensitivity() -> None:
    # Of (sensitivity, specificity) the grid has (1, 1/2), (2/3, 3/4) and (1/3, 1): by 0.75 the first gives 7/8.
    assert published_bacc(HAND_SCORES, HAND_LABELS, sensitivity_weight=0.75) == pytest.approx(0.875)
    assert published_bacc(HAND_SCORES, HAND_LABELS, sensitivity_weight=0.25) == pytest.approx(5 / 6)


@pytest.mark.parametrize("seed", range(3))
def test_figures_equal_a_count_of_every_pair_and_every_threshold(seed: int) -> None:
    scores, labels = tied_scores(1, 60, seed)
    row, labels = scores[0].astype(np.float64), labels.astype(np.float64)
    pairs = [(p > n) + 0.5 * (p == n) for p in row[labels == 1] for n in row[labels == 0]]
    assert roc_auc(row, labels) == pytest.approx(sum(pairs) / len(pairs), abs=1e-12)
    precision, reached, specificities, balanced = 0.0, 0.0, [], []
    for threshold in sorted(set(row), reverse=True):
        called = row >= threshold
        recall, right = called[labels == 1].mean(), (~called[labels == 0]).mean()
        precision += (recall - reached) * labels[called].mean()
        reached = recall
        specificities += [right] if recall >= 0.9 else []
        balanced.append((recall + right) / 2)
    assert average_precision(row, labels) == pytest.approx(precision, abs=1e-12)
    assert specificity_at_sensitivity(row, labels).specificity == pytest.approx(max(specificities), abs=1e-12)
    point = operating_point(row, labels, threshold=youden_threshold(row, labels))
    assert point.balanced_accuracy == pytest.approx(max(balanced), abs=1e-12)


def test_balanced_accuracy_equals_sklearn() -> None:
    scores, labels = tied_scores(1, 80, seed=4)
    point = operating_point(scores[0], labels, threshold=0.3)
    expected = sklearn_metrics.balanced_accuracy_score(labels, scores[0] >= 0.3)
    assert point.balanced_accuracy == pytest.approx(expected, abs=1e-12)


def test_published_figures_refuse_logits() -> None:
    with pytest.raises(DatasetError, match="2 of 3 scores are not probabilities"):
        published_bacc(np.array([-0.5, 3.0, 0.2]), np.array([0, 1, 1]))
