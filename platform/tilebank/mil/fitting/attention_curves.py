"""Stability and entropy of attention, epoch by epoch.

Per bag of two or more instances, natural logarithms, mean over those bags:
    attention_js: Jensen-Shannon divergence between the bag's attention p in this epoch and q in the epoch before (Lin,
        IEEE Trans. Inf. Theory 37:145, 1991): (KL(p || m) + KL(q || m)) / 2 with m = (p + q) / 2; from 0 to log 2.
        ASMIL measures instability this way (Ye et al., ICLR 2026). In the first epoch q comes from the initial weights.
    attention_entropy: -sum_i p_i log p_i / log n, from 0 (one instance has all the weight) to 1 (all n have the same).
Both are 0 if no bag has two instances. T trial, N instance, B breast.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from tilebank.mil.bags.segments import Segments, segment_sum
from tilebank.mil.contract.records import Attention


class AttentionTracker:
    """Compares the attention of each epoch with that of the epoch before, which stays on its device."""

    def __init__(self) -> None:
        self._before: list[Tensor] = []
        self._now: list[Tensor] = []
        self._sums: dict[str, Tensor] = {}
        self._bags = torch.zeros(())

    def update(self, attention: Attention) -> None:
        """Add the next micro-batch of the epoch; every epoch must pass them in the same order."""
        p, segments = attention.weights, attention.rows.segments
        q = self._before[len(self._now)] if self._before else p
        several = segments.lengths > 1  # (B,)
        for name, values in (
            ("attention_js", jensen_shannon(p, q, segments)),
            ("attention_entropy", normalised_entropy(p, segments)),
        ):
            self._sums[name] = self._sums.get(name, 0.0) + (values.double() * several).sum(dim=1)
        self._bags = self._bags.to(several.device) + several.sum()
        self._now.append(p)

    def finish_epoch(self) -> dict[str, Tensor]:
        """The metrics of the epoch, each (T,), once all of it was added; empty for a head without attention."""
        metrics = {name: total / self._bags.clamp_min(1) for name, total in self._sums.items()}
        self._before, self._now, self._sums, self._bags = self._now, [], {}, torch.zeros(())
        return metrics

    def select(self, trials: Sequence[int]) -> None:
        """Keep only the trials at these positions."""
        self._before = [weights[list(trials)] for weights in self._before]


def jensen_shannon(p: Tensor, q: Tensor, segments: Segments) -> Tensor:
    """Divergence between two attentions of every bag: (T, N) twice -> (T, B) float64.

    Computed in float64: it is a small difference of entropies, which float32 loses between two similar epochs.
    """
    p, q = p.double(), q.double()
    middle = (p + q) / 2
    terms = torch.special.entr(middle) - (torch.special.entr(p) + torch.special.entr(q)) / 2  # entr(x) = -x log x
    return segment_sum(terms, segments).clamp_min(0.0)


def normalised_entropy(p: Tensor, segments: Segments) -> Tensor:
    """Entropy of every bag's attention over that of uniform attention: (T, N) -> (T, B); 0 for bags of 0 or 1."""
    largest = segments.lengths.clamp_min(2).log()
    return segment_sum(torch.special.entr(p), segments) / largest
