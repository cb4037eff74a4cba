import numpy as np
import pytest
from sklearn.metrics import accuracy_score, cohen_kappa_score, roc_auc_score

from tilebank.errors import DatasetError
from tilebank.evaluation.bootstrap import tails_of
from tilebank.evaluation.multiclass import evaluate_classes, linear_kappa, macro_auc


def densities(breasts: int, seed: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, breasts)
    logits = rng.normal(size=(breasts, 4)) - 0.6 * np.abs(labels[:, None] - np.arange(4))
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return scores, labels, [f"p{index // 2}" for index in range(breasts)]


@pytest.mark.parametrize("seed", range(3))
def test_figures_equal_sklearn(seed: int) -> None:
    scores, labels, patients = densities(120, seed)
    found = evaluate_classes(scores, labels, patients, replicates=20, seed=0)
    called = scores.argmax(axis=1)
    assert found.macro_auc.value == pytest.approx(
        roc_auc_score(labels, scores, multi_class="ovr", average="macro"), abs=1e-12
    )
    assert found.macro_auc.value == macro_auc(scores, labels)
    assert found.linear_kappa.value == pytest.approx(cohen_kappa_score(labels, called, weights="linear"), abs=1e-12)
    assert found.accuracy.value == accuracy_score(labels, called)
    assert sum(found.breasts) == 120


def test_intervals_equal_a_plain_loop_over_patients() -> None:
    scores, labels, patients = densities(48, seed=1)
    found = evaluate_classes(scores, labels, patients, replicates=80, seed=9)
    _, place = np.unique(patients, return_inverse=True)
    figures = []
    for draw in np.random.default_rng(9).integers(0, 24, size=(80, 24)):
        rows = np.concatenate([np.flatnonzero(place == patient) for patient in draw])
        auc = roc_auc_score(labels[rows], scores[rows], multi_class="ovr") if len(set(labels[rows])) == 4 else np.nan
        called = scores[rows].argmax(axis=1)
        kappa = cohen_kappa_score(labels[rows], called, weights="linear", labels=range(4))
        figures.append((auc, kappa, accuracy_score(labels[rows], called)))
    rarest = min(len(set(place[labels == each])) for each in range(4))
    for column, (estimate, behind) in enumerate(
        [(found.macro_auc, rarest), (found.linear_kappa, 24), (found.accuracy, 24)]
    ):
        expected = np.nanquantile(np.asarray(figures)[:, column], tails_of(0.95, patients=behind))
        assert (estimate.interval.low, estimate.interval.high) == pytest.approx(tuple(expected), abs=1e-12)


def test_a_near_miss_costs_less_than_a_far_one() -> None:
    labels = np.array([0, 1, 2, 3])
    near, far = np.array([1, 1, 2, 3]), np.array([3, 1, 2, 3])
    assert linear_kappa(labels, labels, classes=4) == 1
    assert linear_kappa(labels, near, classes=4) > linear_kappa(labels, far, classes=4)
    assert np.isnan(linear_kappa(np.zeros(3, int), np.zeros(3, int), classes=4))


def test_metrics_are_flat_and_name_each_class() -> None:
    figures = evaluate_classes(*densities(60, 2), replicates=20, seed=0).as_metrics()
    assert {f"test_auc_class_{each}" for each in range(4)} < figures.keys()
    assert figures["test_macro_auc_low"] < figures["test_macro_auc"] < figures["test_macro_auc_high"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s, y: (s[:, :3], y), r"labels hold \[3\] beyond classes 0 to 2"),
        (lambda s, y: (s, np.minimum(y, 2)), r"no breast of classes \[3\]"),
        (lambda s, y: (s[:, 0], y), "pass scores .breasts, classes."),
        (lambda s, y: (np.where(s > 0.5, np.nan, s), y), "not numbers"),
    ],
)
def test_what_are_no_class_scores_raises(change, message: str) -> None:
    scores, labels, patients = densities(60, 3)
    with pytest.raises(DatasetError, match=message):
        evaluate_classes(*change(scores, labels), patients, replicates=10, seed=0)
