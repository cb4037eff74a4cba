"""Validation AUC of every trial, computed on the device: the metric that epochs and heads are selected by.

T trial, B breast, C output.
"""

import torch
from torch import Tensor

from tilebank.mil.contract.outputs import Outputs


def selection_auc(scores: Tensor, labels: Tensor, *, outputs: Outputs) -> Tensor:
    """Exact ROC AUC of each trial (T,) float64; ties count one half.

    Binary: the Mann-Whitney form of Hanley and McNeil (Radiology 143:29, 1982). Multiclass: one class against the rest,
    macro average (Sokolova and Lapalme, Inf. Process. Manag. 45:427, 2009). Multilabel: the mean over labels.
    """
    if outputs.kind == "binary":
        return _pair_shares(scores, labels > 0.5)
    if outputs.kind == "multiclass":
        columns = [(scores[..., c], labels == c) for c in range(outputs.count)]
    else:
        columns = [(scores[..., c], labels[:, c] > 0.5) for c in range(outputs.count)]
    return torch.stack([_pair_shares(column, positive) for column, positive in columns]).mean(dim=0)


def _pair_shares(scores: Tensor, positive: Tensor) -> Tensor:
    """Share of (positive, negative) pairs in the right order: (T, B) and (B,) -> (T,)."""
    negatives = scores[:, ~positive].sort(dim=1).values.contiguous()  # (T, negatives)
    positives = scores[:, positive].contiguous()  # (T, positives)
    below = torch.searchsorted(negatives, positives, right=False).sum(dim=1)
    up_to = torch.searchsorted(negatives, positives, right=True).sum(dim=1)
    return (below + up_to).double() / (2.0 * negatives.shape[1] * positives.shape[1])
