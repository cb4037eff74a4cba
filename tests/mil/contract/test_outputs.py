import pytest
import torch

from tilebank.errors import HeadError
from tilebank.mil.contract.outputs import (
    BINARY,
    Outputs,
    balancing_weights,
    check_labels,
    class_weights,
    example_losses,
    probabilities,
)

CLASSES, LABELS = Outputs("multiclass", 3), Outputs("multilabel", 2)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_class_losses_are_those_of_torch_with_the_trial_s_own_weights():
    logits, labels = normal(2, 6, 3), torch.tensor([0, 1, 2, 2, 1, 0])
    weights = torch.tensor([[1.0, 2.0, 0.5], [1.0, 1.0, 1.0]])
    ours = example_losses(logits, labels, outputs=CLASSES, weights=weights)
    for trial in range(2):
        theirs = torch.nn.functional.cross_entropy(logits[trial], labels, weight=weights[trial], reduction="none")
        torch.testing.assert_close(ours[trial], theirs)


def test_label_losses_are_the_mean_over_labels_of_torch_s():
    logits, labels = normal(2, 5, 2), (normal(5, 2, seed=1) > 0).float()
    weights = torch.tensor([[3.0, 0.5], [1.0, 1.0]])
    ours = example_losses(logits, labels, outputs=LABELS, weights=weights)
    for trial in range(2):
        theirs = torch.nn.functional.binary_cross_entropy_with_logits(
            logits[trial], labels, pos_weight=weights[trial], reduction="none"
        )
        torch.testing.assert_close(ours[trial], theirs.mean(dim=1))


def test_balanced_classes_weigh_the_same_in_sum():
    labels = torch.tensor([0, 0, 0, 0, 1, 1, 2, 2])
    weights = balancing_weights(labels, CLASSES)
    torch.testing.assert_close(weights * torch.bincount(labels), torch.full((3,), 8 / 3))
    assert weights[labels].sum() == pytest.approx(8)  # so that the loss keeps its size


def test_each_label_has_its_own_balance():
    labels = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    torch.testing.assert_close(balancing_weights(labels, LABELS), torch.tensor([4.0, 1.5]))
    torch.testing.assert_close(balancing_weights(labels[:, 0], BINARY), torch.tensor([4.0]))


def test_a_trial_s_own_positive_weight_replaces_the_balance_and_classes_have_none():
    rows = class_weights(torch.tensor([4.0]), BINARY, positive_weights=[None, 2.5])
    torch.testing.assert_close(rows, torch.tensor([[4.0], [2.5]]))
    with pytest.raises(HeadError, match="positive_weight is for binary outputs"):
        class_weights(torch.ones(3), CLASSES, positive_weights=[None, 2.5])


def test_probabilities_of_classes_sum_to_one_and_those_of_labels_are_their_own():
    logits = normal(2, 4, 3)
    torch.testing.assert_close(probabilities(logits, CLASSES).sum(2), torch.ones(2, 4, dtype=torch.float64))
    torch.testing.assert_close(probabilities(logits, Outputs("multilabel", 3)), logits.double().sigmoid())


@pytest.mark.parametrize(
    ("labels", "outputs", "message"),
    [
        (None, BINARY, "val split has no labels"),
        (torch.tensor([0.0, 1.0, 2.0]), BINARY, "reach 2; a binary head takes 0 and 1"),
        (torch.tensor([0.0, 1.0, 2.0]), Outputs("multiclass", 2), "reach 2; the head has 2 classes"),
        (torch.tensor([0.0, 0.0, 2.0]), CLASSES, r"has \[2, 0, 1\] breasts of the 3 classes"),
        (torch.tensor([[0.0, 1.0], [1.0, 1.0]]), LABELS, "label 1 of the val split has 2 positive and 0 negative"),
        (torch.tensor([[0.0, 1.0], [1.0, 1.0]]), BINARY, r"shape \(2, 2\); a binary head needs \(breasts,\)"),
        (torch.tensor([0.0, 1.0]), LABELS, r"shape \(2,\); a multilabel head needs \(breasts, labels\)"),
        (torch.tensor([[0.0], [1.0]]), LABELS, "1 labels per breast, the head 2"),
    ],
)
def test_labels_that_a_head_cannot_be_fitted_on_are_refused(labels, outputs, message):
    with pytest.raises(HeadError, match=message):
        check_labels(labels, outputs, split="val")


@pytest.mark.parametrize(
    ("kind", "count", "message"),
    [
        ("ordinal", 4, "no output kind 'ordinal'"),
        ("multiclass", 1, "multiclass head with 1 outputs; it has 2 or more"),
        ("binary", 2, "binary head with 2 outputs; it has 1"),
    ],
)
def test_outputs_that_make_no_sense_are_refused(kind, count, message):
    with pytest.raises(HeadError, match=message):
        Outputs(kind, count)
