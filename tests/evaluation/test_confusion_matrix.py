import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, cohen_kappa_score, confusion_matrix

from tilebank.evaluation.confusion_matrix import accuracies, balanced_accuracies, confusion_rows, kappas


def table_of(labels, called, classes: int = 4) -> np.ndarray:
    rows = confusion_rows(np.asarray(labels), np.asarray(called), classes=classes)
    return rows.sum(axis=0).reshape(1, classes, classes)


@pytest.mark.parametrize("seed", range(5))
def test_figures_equal_sklearn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(4), rng.choice(4, 80, p=(0.1, 0.4, 0.4, 0.1))])
    called = np.clip(labels + rng.integers(-1, 2, labels.size), 0, 3)
    table = table_of(labels, called)
    np.testing.assert_array_equal(table[0], confusion_matrix(labels, called))
    assert accuracies(table)[0] == pytest.approx(accuracy_score(labels, called), abs=1e-12)
    assert balanced_accuracies(table)[0] == pytest.approx(balanced_accuracy_score(labels, called), abs=1e-12)
    for power, weights in ((1, "linear"), (2, "quadratic")):
        expected = cohen_kappa_score(labels, called, weights=weights)
        assert kappas(table, power=power)[0] == pytest.approx(expected, abs=1e-12)


def test_many_tables_are_figured_at_once_and_alike() -> None:
    rng = np.random.default_rng(0)
    tables = rng.integers(1, 9, (7, 3, 3)).astype(float)
    for figure in (accuracies, balanced_accuracies, lambda t: kappas(t, power=2)):
        np.testing.assert_allclose(figure(tables), [figure(table[None])[0] for table in tables], atol=1e-14)


def test_a_near_miss_costs_less_than_a_far_one_and_most_so_squared() -> None:
    labels = [0, 1, 2, 3]
    right, near, far = (table_of(labels, [first, 1, 2, 3]) for first in (0, 1, 3))
    assert kappas(right, power=1)[0] == kappas(right, power=2)[0] == 1
    lost = [kappas(near, power=power)[0] - kappas(far, power=power)[0] for power in (1, 2)]
    assert 0 < lost[0] < lost[1]


def test_figures_that_are_not_defined_are_nan() -> None:
    one_class = table_of(np.zeros(3, int), np.zeros(3, int))
    assert np.isnan(kappas(one_class, power=2)[0])
    assert np.isnan(balanced_accuracies(one_class)[0])
    assert accuracies(one_class)[0] == 1
