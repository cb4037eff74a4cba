import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from tilebank.mil.contract.outputs import BINARY, Outputs, probabilities
from tilebank.mil.fitting.selection_metric import selection_auc

RNG = np.random.default_rng(0)


def test_the_auc_of_every_trial_is_the_exact_one_ties_included():
    labels = RNG.integers(0, 2, 60)
    scores = np.round(RNG.normal(size=(5, 60)) + labels, 1)  # rounded: many ties
    ours = selection_auc(torch.tensor(scores), torch.tensor(labels).float(), outputs=BINARY)
    expected = [roc_auc_score(labels, row) for row in scores]
    np.testing.assert_allclose(ours.numpy(), expected, atol=1e-12)
    assert ours.dtype == torch.float64


def test_the_auc_of_classes_is_the_macro_average_of_one_against_the_rest():
    outputs, labels = Outputs("multiclass", 4), RNG.permutation(np.arange(80) % 4)
    logits = RNG.normal(size=(3, 80, 4)) + 1.5 * np.eye(4)[labels]
    scores = probabilities(torch.tensor(logits), outputs)
    ours = selection_auc(scores, torch.tensor(labels), outputs=outputs)
    expected = [roc_auc_score(labels, row, multi_class="ovr", average="macro") for row in scores.numpy()]
    np.testing.assert_allclose(ours.numpy(), expected, atol=1e-12)
    assert (ours > 0.7).all()


def test_the_auc_of_labels_is_the_mean_over_labels():
    labels = RNG.integers(0, 2, (50, 3))
    scores = RNG.random((2, 50, 3)) + 0.3 * labels
    ours = selection_auc(torch.tensor(scores), torch.tensor(labels).float(), outputs=Outputs("multilabel", 3))
    np.testing.assert_allclose(
        ours.numpy(), [roc_auc_score(labels, row, average="macro") for row in scores], atol=1e-12
    )
