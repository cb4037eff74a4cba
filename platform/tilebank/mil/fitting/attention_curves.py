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

from tilebank.mil.bags.segments import Segments, segment_sum
from tilebank.mil.contract.records import Attention


class AttentionWatch:
    """The attention of an epoch ago, kept on its device, and the figures of the present one as its pieces come by."""

    def __init__(self) -> None:
        self._before: list[Tensor] = []
        self._now: list[Tensor] = []
        self._sums: dict[str, Tensor] = {}
        self._bags = torch.zeros(())

    def see(self, attention: Attention) -> None:
        """The next piece of an epoch; its pieces come in the same order as those of the epoch before."""
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

    def close(self) -> dict[str, Tensor]:
        """The figures of the epoch, each (T,), once all its pieces were seen; none where no attention was."""
        figures = {name: total / self._bags.clamp_min(1) for name, total in self._sums.items()}
        self._before, self._now, self._sums, self._bags = self._now, [], {}, torch.zeros(())
        return figures

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
