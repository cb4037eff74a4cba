import numpy as np
import pytest
from sklearn.metrics import brier_score_loss

from tilebank.errors import DatasetError
from tilebank.evaluation.calibration import brier_score, expected_calibration_error, reliability_curve

# Two bins of three: scores .1 .2 .3 with one positive, .6 .7 .8 with two.
SCORES = np.array([0.8, 0.1, 0.6, 0.3, 0.7, 0.2])
LABELS = np.array([1, 0, 0, 1, 1, 0])


def test_reliability_curve_of_a_hand_worked_case() -> None:
    curve = reliability_curve(SCORES, LABELS, bins=2)
    np.testing.assert_allclose(curve.mean_scores, [0.2, 0.7])
    np.testing.assert_allclose(curve.positive_rates, [1 / 3, 2 / 3])
    assert curve.counts.tolist() == [3, 3]


def test_calibration_error_of_a_hand_worked_case() -> None:
    # |.2 - 1/3| and |.7 - 2/3|, half the breasts each.
    expected = (1 / 3 - 0.2) / 2 + (0.7 - 2 / 3) / 2
    assert expected_calibration_error(SCORES, LABELS, bins=2) == pytest.approx(expected, abs=1e-12)


def test_calibration_error_weighs_bins_by_their_breasts() -> None:
    # Four ties fill one bin: |.5 - 1/4| by 4 breasts; then |.9 - 1| by one.
    scores, labels = np.array([0.5, 0.5, 0.5, 0.5, 0.9]), np.array([0, 0, 0, 1, 1])
    curve = reliability_curve(scores, labels, bins=5)
    assert curve.counts.tolist() == [4, 1]
    assert expected_calibration_error(scores, labels, bins=5) == pytest.approx((0.25 * 4 + 0.1) / 5)


def test_tied_scores_fall_in_one_bin_whatever_the_order_of_rows() -> None:
    rng = np.random.default_rng(0)
    scores, labels = np.round(rng.random(60), 1), rng.integers(0, 2, 60)
    order = rng.permutation(60)
    assert expected_calibration_error(scores, labels) == pytest.approx(
        expected_calibration_error(scores[order], labels[order]), abs=1e-12
    )


def test_scores_that_mean_what_they_say_have_a_small_error_and_shifted_ones_do_not() -> None:
    rng = np.random.default_rng(1)
    scores = rng.random(20_000)
    labels = (rng.random(20_000) < scores).astype(int)
    assert expected_calibration_error(scores, labels) < 0.02
    assert expected_calibration_error(scores**2, labels) > 0.1


def test_brier_score_equals_sklearn() -> None:
    assert brier_score(SCORES, LABELS) == pytest.approx(brier_score_loss(LABELS, SCORES), abs=1e-12)


def test_logits_and_no_bins_raise() -> None:
    with pytest.raises(DatasetError, match="pass the sigmoid"):
        brier_score(SCORES * 4, LABELS)
    with pytest.raises(DatasetError, match="pass the sigmoid"):
        reliability_curve(SCORES - 0.5, LABELS)
    with pytest.raises(DatasetError, match="0 bins"):
        reliability_curve(SCORES, LABELS, bins=0)
