import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tilebank.errors import DatasetError
from tilebank.evaluation.intervals.bootstrap import tails_of
from tilebank.evaluation.multilabel import evaluate_labels
from tilebank.evaluation.report import evaluate
from tilebank.evaluation.scores import ScoredBreasts


def findings(breasts: int, seed: int, *, split: str) -> dict[str, ScoredBreasts]:
    """Two breasts a patient; masses are found more easily than calcifications."""
    rng = np.random.default_rng(seed)
    ids = tuple(f"{split}{index // 2}_{'LR'[index % 2]}" for index in range(breasts))
    scored = {}
    for name, signal in (("mass", 2.0), ("calcification", 0.8)):
        labels = rng.integers(0, 2, breasts)
        scores = 1 / (1 + np.exp(-(signal * labels + rng.normal(size=breasts))))
        scored[name] = ScoredBreasts(scores, labels, tuple(one[:-2] for one in ids), ids)
    return scored


def test_every_label_has_the_figures_that_it_would_have_alone() -> None:
    val, test = findings(60, 0, split="v"), findings(80, 1, split="t")
    found = evaluate_labels(val, test, replicates=50, seed=3)
    for name in test:
        assert found.labels[name] == evaluate(val[name], test[name], replicates=50, seed=3)


def test_the_macro_auc_and_its_interval_equal_a_plain_loop_over_patients() -> None:
    val, test = findings(60, 0, split="v"), findings(80, 1, split="t")
    found = evaluate_labels(val, test, replicates=60, seed=5)
    aucs = [roc_auc_score(each.labels, each.scores) for each in test.values()]
    assert found.auc.value == pytest.approx(np.mean(aucs), abs=1e-12)
    _, place = np.unique(test["mass"].patients, return_inverse=True)
    means = []
    for draw in np.random.default_rng(5).integers(0, 40, size=(60, 40)):
        rows = np.concatenate([np.flatnonzero(place == patient) for patient in draw])
        means.append(np.mean([roc_auc_score(each.labels[rows], each.scores[rows]) for each in test.values()]))
    fewest = min(len(set(place[each.labels == label])) for each in test.values() for label in (0, 1))
    expected = np.quantile(means, tails_of(0.95, patients=fewest))
    assert (found.auc.interval.low, found.auc.interval.high) == pytest.approx(tuple(expected), abs=1e-12)


def test_metrics_and_card_name_each_label() -> None:
    found = evaluate_labels(findings(60, 0, split="v"), findings(80, 1, split="t"), replicates=20, seed=0)
    figures = found.as_metrics()
    assert figures["mass_test_auc"] == found.labels["mass"].auc.value
    assert figures["test_macro_auc"] == np.mean([figures["mass_test_auc"], figures["calcification_test_auc"]])
    card = found.as_card()
    assert card["answers"] == "mass,calcification"
    thresholds = [label.at_sensitivity.threshold for label in found.labels.values()]
    assert [float(text) for text in card["thresholds"].split(",")] == thresholds
    assert "calcification: test: 80 breasts" in found.as_text()


def test_splits_of_different_labels_raise() -> None:
    val, test = findings(60, 0, split="v"), findings(80, 1, split="t")
    with pytest.raises(DatasetError, match=r"val has the labels \['mass'\], test \['mass', 'calcification'\]"):
        evaluate_labels({"mass": val["mass"]}, test, seed=0)
