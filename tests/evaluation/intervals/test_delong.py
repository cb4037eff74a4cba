import numpy as np
import pytest
from scipy.stats import norm

from tilebank.errors import DatasetError
from tilebank.evaluation.intervals.delong import delong_test
from tilebank.evaluation.metrics import roc_auc


def pair_of_heads(breasts: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two heads that share much of what they see, with ties within and between the classes."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(breasts) < 0.4).astype(int)
    labels[:4] = 0, 1, 0, 1
    shared = labels + rng.normal(size=breasts)
    return np.round(shared + 0.5 * rng.normal(size=breasts), 1), np.round(shared, 1), labels


def u_statistic_covariance(heads: list[np.ndarray], labels: np.ndarray) -> np.ndarray:
    """DeLong's covariance (2, 2) from all pairs of a positive and a negative breast, straight from the paper."""
    wins = []
    for scores in heads:
        positive, negative = scores[labels == 1][:, None], scores[labels == 0][None, :]
        wins.append((positive > negative) + 0.5 * (positive == negative))  # (m, n)
    of_positive = [win.mean(axis=1) for win in wins]  # V10, each (m,)
    of_negative = [win.mean(axis=0) for win in wins]  # V01, each (n,)
    m, n = wins[0].shape
    return np.cov(of_positive) / m + np.cov(of_negative) / n


@pytest.mark.parametrize("seed", range(4))
def test_delong_equals_the_covariance_of_all_pairs(seed: int) -> None:
    first, second, labels = pair_of_heads(90, seed)
    covariance = u_statistic_covariance([first, second], labels)
    error = np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    found = delong_test(first, second, labels)
    assert found.difference == pytest.approx(roc_auc(first, labels) - roc_auc(second, labels), abs=1e-12)
    assert found.standard_error == pytest.approx(error, abs=1e-12)
    assert found.p_value == pytest.approx(2 * norm.sf(abs(found.difference) / error), abs=1e-12)


def test_the_other_way_round_changes_the_sign_alone() -> None:
    first, second, labels = pair_of_heads(60, seed=5)
    one, other = delong_test(first, second, labels), delong_test(second, first, labels)
    assert one.difference == pytest.approx(-other.difference, abs=1e-12)
    assert one.difference != 0
    assert (one.standard_error, one.p_value) == pytest.approx((other.standard_error, other.p_value), abs=1e-12)


def test_heads_that_rank_alike_do_not_differ() -> None:
    first, _, labels = pair_of_heads(40, seed=6)
    found = delong_test(first, np.exp(first), labels)
    assert (found.difference, found.standard_error, found.p_value) == (0.0, 0.0, 1.0)


def test_a_difference_without_any_variance_has_no_p_value() -> None:
    labels = np.array([0, 0, 1, 1])
    found = delong_test(labels.astype(float), 1.0 - labels, labels)
    assert (found.difference, found.standard_error) == (1.0, 0.0)
    assert np.isnan(found.p_value)


def test_one_breast_of_a_class_is_too_few() -> None:
    with pytest.raises(DatasetError, match="two breasts of each class"):
        delong_test(np.array([0.1, 0.2, 0.3]), np.array([0.1, 0.3, 0.2]), np.array([0, 0, 1]))
