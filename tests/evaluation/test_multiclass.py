import json
from dataclasses import asdict

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, cohen_kappa_score, roc_auc_score

from tilebank.errors import DatasetError, LeakageError
from tilebank.evaluation.class_scores import ScoredClasses
from tilebank.evaluation.intervals.bootstrap import auc_interval, tails_of
from tilebank.evaluation.multiclass import ClassEvaluation, evaluate_classes, macro_auc

DENSITIES = tuple("ABCD")


def densities(breasts: int, seed: int, *, split: str = "t", labels: np.ndarray | None = None) -> ScoredClasses:
    """Two breasts a patient; the class of the highest score is often right, and mostly near."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, breasts) if labels is None else labels
    logits = rng.normal(size=(breasts, 4)) - 0.6 * np.abs(labels[:, None] - np.arange(4))
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    ids = tuple(f"{split}{index // 2}_{'LR'[index % 2]}" for index in range(breasts))
    return ScoredClasses(scores, labels, tuple(name[:-2] for name in ids), ids)


def evaluated(test: ScoredClasses, *, replicates: int = 20, seed: int = 0) -> ClassEvaluation:
    val = densities(60, 100, split="v")
    return evaluate_classes(val, test, classes=DENSITIES, replicates=replicates, seed=seed)


@pytest.mark.parametrize("seed", range(3))
def test_figures_equal_sklearn(seed: int) -> None:
    test = densities(120, seed)
    found = evaluated(test)
    one_vs_rest = {"multi_class": "ovr", "average": "macro"}
    assert found.auc.value == pytest.approx(roc_auc_score(test.labels, test.scores, **one_vs_rest), abs=1e-12)
    assert found.accuracy.value == accuracy_score(test.labels, test.predicted)
    assert found.balanced_accuracy.value == pytest.approx(
        balanced_accuracy_score(test.labels, test.predicted), abs=1e-12
    )
    for weights, kappa in (("linear", found.linear_kappa), ("quadratic", found.quadratic_kappa)):
        expected = cohen_kappa_score(test.labels, test.predicted, weights=weights)
        assert kappa.value == pytest.approx(expected, abs=1e-12)
    for each, auc in enumerate(found.class_aucs):
        assert auc.value == pytest.approx(roc_auc_score(test.labels == each, test.scores[:, each]), abs=1e-12)
        one = auc_interval(test.scores[:, each], test.labels == each, test.patients, replicates=20, seed=0)
        assert auc.interval == one
    assert found.val_auc == macro_auc(densities(60, 100, split="v"))


def test_intervals_equal_a_plain_loop_over_patients() -> None:
    test = densities(48, seed=1)
    found = evaluated(test, replicates=80, seed=9)
    _, place = np.unique(test.patients, return_inverse=True)
    figures = []
    for draw in np.random.default_rng(9).integers(0, 24, size=(80, 24)):
        rows = np.concatenate([np.flatnonzero(place == patient) for patient in draw])
        labels, scores, predicted = test.labels[rows], test.scores[rows], test.predicted[rows]
        whole = len(set(labels)) == 4
        kappas = [cohen_kappa_score(labels, predicted, weights=w, labels=range(4)) for w in ("quadratic", "linear")]
        auc = roc_auc_score(labels, scores, multi_class="ovr") if whole else np.nan
        balanced = balanced_accuracy_score(labels, predicted) if whole else np.nan
        figures.append((auc, balanced, *kappas, accuracy_score(labels, predicted)))
    rarest = min(len(set(place[test.labels == each])) for each in range(4))
    for column, (estimate, behind) in enumerate(
        [
            (found.auc, rarest),
            (found.balanced_accuracy, rarest),
            (found.quadratic_kappa, 24),
            (found.linear_kappa, 24),
            (found.accuracy, 24),
        ]
    ):
        expected = np.nanquantile(np.asarray(figures)[:, column], tails_of(0.95, patients=behind))
        assert (estimate.interval.low, estimate.interval.high) == pytest.approx(tuple(expected), abs=1e-12)


def test_replicates_without_a_rare_class_are_left_out_and_counted() -> None:
    labels = np.array([0] * 2 + [1] * 14 + [2] * 14 + [3] * 10)
    found = evaluated(densities(40, 3, labels=labels), replicates=200)
    alone = (1 - 1 / 20) ** 20  # the share of replicates that miss the one patient of class A
    assert found.auc.interval.skipped == found.balanced_accuracy.interval.skipped
    assert found.auc.interval.skipped / 200 == pytest.approx(alone, abs=0.1)
    assert found.accuracy.interval.skipped == 0


def test_the_text_says_what_a_constant_call_would_get_and_holds_the_confusion_table() -> None:
    labels = np.array([0] * 10 + [1] * 30 + [2] * 12 + [3] * 8)
    found = evaluated(densities(60, 2, labels=labels))
    text = found.as_text()
    assert "60 breasts of 30 patients" in text
    assert "10 breasts of 5 patients against the others" in text
    assert "predicting every breast B gets 0.500" in text
    assert [sum(row) for row in found.confusion] == [10, 30, 12, 8]
    assert [int(count) for count in text.splitlines()[-1].split()[1:]] == list(found.confusion[3])


def test_metrics_are_flat_and_name_each_class() -> None:
    found = evaluated(densities(60, 2))
    figures = found.as_metrics()
    for name in ("test_macro_auc", "test_accuracy", "test_bacc", "test_quadratic_kappa", "test_auc_A", "test_auc_D"):
        assert figures[f"{name}_low"] <= figures[name] <= figures[f"{name}_high"]
    assert figures["val_macro_auc"] == found.val_auc
    assert sum(figures[f"test_breasts_{name}"] for name in DENSITIES) == figures["test_breasts"] == 60
    assert [figures[f"test_patients_{name}"] for name in DENSITIES] == list(found.test_counts.patients_by_class)
    assert json.loads(json.dumps(asdict(found), allow_nan=False))["confusion"] == [list(row) for row in found.confusion]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s, y: (s[:, :3] / s[:, :3].sum(axis=1, keepdims=True), y),
            r"labels must be 0 to 2 .* other labels: \[3\]",
        ),
        (lambda s, y: (s, np.minimum(y, 2)), r"classes without a breast: \[3\]"),
        (lambda s, y: (s[:, 0], y), "pass scores .breasts, classes."),
        (lambda s, y: (np.where(s > 0.5, np.nan, s), y), "not numbers"),
        (lambda s, y: (2 * s, y), "not probabilities; pass the softmax"),
    ],
)
def test_what_are_no_class_scores_raises(change, message: str) -> None:
    whole = densities(60, 3)
    with pytest.raises(DatasetError, match=message):
        ScoredClasses(*change(whole.scores, whole.labels), whole.patients, whole.breast_ids)


def test_splits_that_do_not_fit_each_other_raise() -> None:
    test = densities(60, 3)
    with pytest.raises(LeakageError, match="30 patients in val and test"):
        evaluate_classes(test, test, classes=DENSITIES, replicates=10, seed=0)
    with pytest.raises(DatasetError, match="scores of 4 classes, and 3 names"):
        evaluate_classes(densities(60, 4, split="v"), test, classes="ABC", replicates=10, seed=0)
