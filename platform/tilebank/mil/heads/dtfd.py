"""DTFD-MIL: attention over pseudo-bags, then attention over what they were distilled to. Knows tensors alone.

Zhang et al. (CVPR 2022). A bag is split at random into G pseudo-bags. Tier 1 is gated ABMIL (attention.py)
on each, with the breast's label, one classifier w for all. Each pseudo-bag is distilled to a vector: `afs` its sum
weighted by attention; `max` its instance of the highest Grad-CAM score, a_i w . h_i of its highest answer; `max_min`
that and the one of the lowest. Tier 2 is gated ABMIL on a bag's distilled vectors. The published fit has an optimiser a
tier and no gradient from the second to the first: here too, as Adam goes its own way on every weight. The loss is tier
2's plus the mean of tier 1's over a bag's pseudo-bags.
In use nothing is left to chance: instances, ranked by tier 1's attention, go round the pseudo-bags in turn, an even
split, where the released code splits at random once more. A bag of fewer than 2 G instances makes half as many
pseudo-bags as it has instances, rounded up, so that they have something to weigh. Released
code: widths 512 and 128, G = 4.
T trial, N instance, B breast, G pseudo-bag, K distilled vector of one, C channel, O answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from tilebank.errors import HeadError
from tilebank.mil.bags.ragged import Rows
from tilebank.mil.bags.segments import Segments, segment_matmul, segment_softmax
from tilebank.mil.contract.dropout import STILL, Draws
from tilebank.mil.contract.outputs import BINARY, Outputs
from tilebank.mil.contract.records import Attention, Criterion, HeadPass, Losses, PreparedBags
from tilebank.mil.heads.parts.attention import AttentionScore, Scorer
from tilebank.mil.heads.parts.layers import StackedLinear, generators_of
from tilebank.mil.heads.parts.segment_sort import deal, random_keys, segment_ranks
from tilebank.mil.heads.parts.single_bag import OneBagConfig, OneBagHead


@dataclass(frozen=True)
class DtfdConfig(OneBagConfig):
    """`groups`: G; `distil`: what a pseudo-bag becomes."""

    name: Literal["dtfd"] = "dtfd"
    hidden: int = 128
    attention: int = 64
    groups: int = 4
    distil: Literal["afs", "max", "max_min"] = "afs"

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.hidden, self.attention, self.groups) < 1:
            raise HeadError(
                f"head {self.name}: hidden={self.hidden}, attention={self.attention} and groups={self.groups} must be"
                " positive"
            )
        if self.distil not in ("afs", "max", "max_min"):
            raise HeadError(f"head {self.name}: no distil {self.distil!r}; choose afs, max or max_min")


@dataclass(frozen=True, eq=False)
class _Tiers:
    """Logits of pseudo-bags and of bags, which pseudo-bags hold any (B, G), and attention (T, N)."""

    first: Tensor
    second: Tensor
    is_filled: Tensor
    weights: Tensor


class Dtfd(OneBagHead):
    """T heads of two tiers."""

    config: DtfdConfig

    def __init__(self, config: DtfdConfig, *, dim: int, seeds: Sequence[int], outputs: Outputs = BINARY) -> None:
        super().__init__(config, dim=dim, outputs=outputs)
        generators, width, attention = generators_of(seeds), config.hidden, config.attention  # drawn from in this order
        self.scorer = Scorer(dim, width, attention, gated=True, instances=config.instances, generators=generators)
        self.first = StackedLinear(width, outputs.count, generators=generators)
        self.score = AttentionScore(width, attention, gated=True, generators=generators)
        self.second = StackedLinear(width, outputs.count, generators=generators)

    @property
    def pooled_width(self) -> int:
        """C, of the second tier."""
        return self.config.hidden

    @property
    def row_numbers(self) -> int:
        """h as it comes and as it is dealt, and the attention's branches; gradients, and the ranks' whole numbers."""
        return 8 * self.config.hidden + 8 * self.config.attention + 4 * self.outputs.count + 16

    @property
    def noise_width(self) -> int:
        """One number, from which a breast's random split is made."""
        return 1

    def run(self, bags: PreparedBags, *, draws: Draws = STILL) -> HeadPass:
        """Logits of the second tier, and what each instance has of its attention."""
        rows = self.rows(bags)
        tiers = self._see(rows, draws)
        return HeadPass(tiers.second, Attention(tiers.weights, rows))

    def losses(self, bags: PreparedBags, labels: Tensor, *, criterion: Criterion, draws: Draws) -> Losses:
        """The second tier's, and added to it the first's."""
        tiers = self._see(self.rows(bags), draws)
        of_groups = criterion(tiers.first, labels.repeat_interleave(self.config.groups, dim=0))  # (T, B x G)
        kept = of_groups.view(-1, *tiers.is_filled.shape) * tiers.is_filled  # (T, B, G)
        first = kept.sum(dim=2) / tiers.is_filled.sum(dim=1).clamp_min(1)
        return Losses(criterion(tiers.second, labels), first)

    def _see(self, rows: Rows, draws: Draws) -> _Tiers:
        h, scores = self.scorer(rows)  # (T, C, N), (T, N)
        keys = scores if draws.noise is None else random_keys(draws.noise.squeeze(1), rows.segments)
        dealt, groups = deal(segment_ranks(keys, rows.segments), rows.segments, hands=self.config.groups)
        h = h.gather(2, dealt.unsqueeze(1).expand_as(h))  # (T, C, N), a pseudo-bag's rows together
        weights = segment_softmax(scores.gather(1, dealt), groups)  # (T, N)
        pooled = segment_matmul(weights.unsqueeze(1), h, groups)  # (T, 1, B x G, C)
        first = self.as_logits(self.first(pooled.squeeze(1).mT))

        choice = self._choice(h, weights, groups)  # (T, K, N)
        distilled = pooled if self.config.distil == "afs" else segment_matmul(choice, h, groups)
        distilled = distilled.detach().transpose(1, 2).flatten(1, 2).mT  # (T, C, B x G x K)
        is_filled = groups.is_filled.view(-1, self.config.groups)  # (B, G)
        of_groups = self._of_groups(distilled, is_filled)  # (T, B, G, K)
        by_bag = distilled.view(*distilled.shape[:2], len(is_filled), -1)  # (T, C, B, G x K)
        bags = torch.einsum("tcbk,tbk->tcb", by_bag, of_groups.flatten(2))
        second = self.as_logits(self.second(draws.thin(bags)))
        share = of_groups.flatten(1, 2)[:, groups.owner].mT * choice  # (T, K, N)
        return _Tiers(first, second, is_filled, torch.empty_like(weights).scatter_(1, dealt, share.sum(dim=1)))

    @torch.no_grad()
    def _choice(self, h: Tensor, weights: Tensor, groups: Segments) -> Tensor:
        """How each row counts in its pseudo-bag's distilled vectors: (T, K, N), summing to one over a pseudo-bag."""
        if self.config.distil == "afs":
            return weights.unsqueeze(1)
        scores = (weights.unsqueeze(1) * (self.first.weight @ h)).amax(dim=1)  # (T, N)
        signs = (1, -1) if self.config.distil == "max_min" else (1,)
        ranks = torch.stack([segment_ranks(sign * scores, groups) for sign in signs], dim=1)
        return (ranks == 0).to(h.dtype)

    def _of_groups(self, distilled: Tensor, is_filled: Tensor) -> Tensor:
        """The second tier's attention over a bag's distilled vectors: (T, C, B x G x K) -> (T, B, G, K)."""
        scores = self.score(distilled).view(len(distilled), *is_filled.shape, -1)
        scores = scores.masked_fill(~is_filled.unsqueeze(2), -torch.inf)
        is_bag = is_filled.any(dim=1).view(-1, 1, 1)
        weights = torch.softmax(torch.where(is_bag, scores, 0.0).flatten(2), dim=2).view_as(scores)
        return torch.where(is_bag, weights, 0.0)
