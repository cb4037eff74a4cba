"""Output types of a head: binary, multiclass, multilabel.

Everything that differs between the three is here: loss, class weights, probabilities, label checks.
T trial, M example (a breast, or an instance with its breast's label), C output (class or label).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from tilebank.errors import HeadError

OutputKind = Literal["binary", "multiclass", "multilabel"]


@dataclass(frozen=True)
class Outputs:
    """`binary`: one logit, sigmoid. `multiclass`: `count` logits, softmax. `multilabel`: `count` logits, sigmoids.

    Logits and scores are (T, M) for `binary` and (T, M, C) for the others. Labels are (M,) of 0 and 1, (M,) of class
    numbers from 0, or (M, C) of 0 and 1.
    """

    kind: OutputKind = "binary"
    count: int = 1

    def __post_init__(self) -> None:
        if self.kind not in ("binary", "multiclass", "multilabel"):
            raise HeadError(f"no output kind {self.kind!r}; choose binary, multiclass or multilabel")
        fewest = {"binary": 1, "multiclass": 2, "multilabel": 1}[self.kind]
        if self.count < fewest or (self.kind == "binary" and self.count != 1):
            raise HeadError(f"a {self.kind} head with {self.count} outputs; it has {fewest}{self._or_more}")

    @property
    def _or_more(self) -> str:
        return "" if self.kind == "binary" else " or more"


BINARY = Outputs()


def probabilities(logits: Tensor, outputs: Outputs) -> Tensor:
    """Probabilities of `logits`, same shape, in float64: in float32 large logits would all round to 1."""
    exact = logits.double()
    return torch.softmax(exact, dim=-1) if outputs.kind == "multiclass" else torch.sigmoid(exact)


def check_labels(labels: Tensor | None, outputs: Outputs, *, split: str) -> Tensor:
    """`labels` in the form that the loss takes. Raises HeadError if they are missing, do not fit, or lack a class."""
    if labels is None:
        raise HeadError(f"the {split} split has no labels; read it with a task")
    if (labels.ndim == 2) != (outputs.kind == "multilabel"):
        raise HeadError(
            f"labels of the {split} split have shape {tuple(labels.shape)}; a {outputs.kind} head needs"
            f" {'(breasts, labels)' if outputs.kind == 'multilabel' else '(breasts,)'}"
        )
    if outputs.kind == "multilabel" and labels.shape[1] != outputs.count:
        raise HeadError(f"the {split} split has {labels.shape[1]} labels per breast, the head {outputs.count}")
    if outputs.kind == "multiclass":
        return _class_labels(labels, outputs, split=split)
    if bool((labels > 1).any()):
        raise HeadError(f"labels of the {split} split reach {int(labels.max())}; a {outputs.kind} head takes 0 and 1")
    for place, column in enumerate(labels.view(len(labels), -1).T):
        positives = int(column.sum())
        if positives in (0, len(labels)):
            which = f"label {place} of the" if outputs.kind == "multilabel" else "the"
            raise HeadError(
                f"{which} {split} split has {positives} positive and {len(labels) - positives} negative breasts; "
                "a head needs both classes"
            )
    return labels


def balancing_weights(labels: Tensor, outputs: Outputs) -> Tensor:
    """Balancing weights: negatives / positives of each label (C,), or M / (C n_c) of each class (C,)."""
    if outputs.kind == "multiclass":
        counts = torch.bincount(labels, minlength=outputs.count)  # (C,)
        return len(labels) / (outputs.count * counts)
    positives = labels.view(len(labels), -1).sum(dim=0)  # (C,)
    return (len(labels) - positives) / positives


def class_weights(balanced: Tensor, outputs: Outputs, *, positive_weights: Sequence[float | None]) -> Tensor:
    """The weights of each trial (T, C): its own positive weight where it sets one, else `balanced` (C,)."""
    if outputs.kind == "multiclass" and any(weight is not None for weight in positive_weights):
        raise HeadError("positive_weight is for binary outputs; leave it out for classes, and use class_weight")
    rows = [balanced if weight is None else torch.full_like(balanced, weight) for weight in positive_weights]
    return torch.stack(rows)


def example_losses(logits: Tensor, labels: Tensor, *, outputs: Outputs, weights: Tensor) -> Tensor:
    """Cross-entropy of every example (T, M); `weights` (T, C) are positive weights or class weights.

    Binary: of the sigmoid, with the positive term weighted. Multilabel: the same, mean over labels. Multiclass: of the
    softmax, weighted by the true class.
    """
    if outputs.kind == "multiclass":
        chosen = torch.log_softmax(logits, dim=-1).gather(2, labels.expand(len(logits), -1).unsqueeze(2))  # (T, M, 1)
        return -chosen.squeeze(2) * weights[:, labels]
    losses = binary_cross_entropy_with_logits(
        logits,
        labels.expand_as(logits),
        pos_weight=weights if outputs.kind == "binary" else weights.unsqueeze(1),  # (T, 1) or (T, 1, C)
        reduction="none",
    )
    return losses.mean(dim=2) if outputs.kind == "multilabel" else losses


def _class_labels(labels: Tensor, outputs: Outputs, *, split: str) -> Tensor:
    whole = labels.long()
    if int(whole.max()) >= outputs.count:
        raise HeadError(f"labels of the {split} split reach {int(whole.max())}; the head has {outputs.count} classes")
    counts = torch.bincount(whole, minlength=outputs.count).tolist()
    if 0 in counts:
        raise HeadError(f"the {split} split has {counts} breasts of the {outputs.count} classes; a head needs each")
    return whole
