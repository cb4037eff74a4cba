"""How steady attention is from epoch to epoch, and how wide. Knows attention, neither heads nor fitting.

For every bag of two instances or more, natural logarithms, mean over those bags:
    attention_js: Jensen-Shannon divergence between the bag's attention p now and q an epoch ago (Lin, IEEE Trans. Inf.
        Theory 37:145, 1991): (KL(p || m) + KL(q || m)) / 2 with m = (p + q) / 2; from 0 to log 2. ASMIL measures
        instability by it (Ye et al., ICLR 2026). In the first epoch q is the attention of the first weights.
    attention_entropy: -sum_i p_i log p_i / log n, from 0 (one instance has all) to 1 (all n have the same).
Where no bag has two, both are 0. T trial, N instance, B breast.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from tilebank.mil.passes import Attention
from tilebank.mil.segments import Segments, segment_sum


class AttentionWatch:
    """The attention of an epoch ago, kept on its device, piece by piece."""

    def __init__(self) -> None:
        self._before: list[Tensor] = []

    def note(self, pieces: Sequence[Attention]) -> dict[str, Tensor]:
        """The figures of an epoch, each (T,); none for a head without attention. Pieces are the same at each epoch."""
        now = [piece.weights for piece in pieces]
        if not now:
            return {}
        before, self._before = self._before or now, now
        segments = [piece.rows.segments for piece in pieces]
        several = torch.cat([part.lengths > 1 for part in segments])  # (B,)
        js = [jensen_shannon(p, q, part) for p, q, part in zip(now, before, segments, strict=True)]
        entropy = [normalised_entropy(p, part) for p, part in zip(now, segments, strict=True)]
        return {
            "attention_js": _mean_of(torch.cat(js, dim=1), several),
            "attention_entropy": _mean_of(torch.cat(entropy, dim=1), several),
        }

    def select(self, trials: Sequence[int]) -> None:
        """Go on with the trials at `trials` alone."""
        self._before = [weights[list(trials)] for weights in self._before]


def jensen_shannon(p: Tensor, q: Tensor, segments: Segments) -> Tensor:
    """Divergence of every bag's two attentions: (T, N) twice -> (T, B) float64.

    It is a small difference of entropies, which float32 would lose between two steady epochs.
    """
    p, q = p.double(), q.double()
    middle = (p + q) / 2
    terms = torch.special.entr(middle) - (torch.special.entr(p) + torch.special.entr(q)) / 2  # entr(x) = -x log x
    return segment_sum(terms, segments).clamp_min(0.0)


def normalised_entropy(p: Tensor, segments: Segments) -> Tensor:
    """Entropy of every bag's attention over that of an even one: (T, N) -> (T, B); 0 for a bag of one or none."""
    widest = segments.lengths.clamp_min(2).log()
    return segment_sum(torch.special.entr(p), segments) / widest


def _mean_of(values: Tensor, counted: Tensor) -> Tensor:
    return (values.double() * counted).sum(dim=1) / counted.sum().clamp_min(1)
