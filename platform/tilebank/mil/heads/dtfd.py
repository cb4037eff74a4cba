"""DTFD-MIL: attention over pseudo-bags, then attention over their distilled vectors.

Zhang et al. (CVPR 2022). A bag is split at random into G pseudo-bags. Tier 1 is gated ABMIL (attention.py) on each,
with the breast's label and one shared classifier w. Each pseudo-bag is distilled to a vector: `afs` its
attention-weighted sum; `max` its instance of the highest Grad-CAM score, a_i w . h_i of its highest output; `max_min`
that and the instance of the lowest. Tier 2 is gated ABMIL on a bag's distilled vectors. The published training has one
optimizer per tier and no gradient from the second tier to the first; so does ours, since Adam treats every weight
separately. The loss is tier 2's plus the mean of tier 1's over a bag's pseudo-bags.
Inference is deterministic: instances, ranked by tier 1's attention, are distributed over the pseudo-bags round robin,
an even split, where the released code splits at random again. A bag of fewer than 2 G instances is split into half as
many pseudo-bags as it has instances, rounded up, so that attention has something to weigh.
Released code: widths 512 and 128, G = 4.
T trial, N instance, B breast, G pseudo-bag, K distilled vector of one, C channel, O output.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from tilebank.errors import HeadError
from tilebank.mil.bags.ragged import Rows
from tilebank.mil.bags.segments import Segments, segment_softmax
from tilebank.mil.contract.dropout import NO_NOISE, StepNoise
from tilebank.mil.contract.outputs import BINARY, Outputs
from tilebank.mil.contract.records import Attention, Criterion, ForwardPass, Losses, PreparedBags
from tilebank.mil.heads.parts.attention import AttentionScore, AttentionScorer
from tilebank.mil.heads.parts.layers import StackedLinear, generators_of
from tilebank.mil.heads.parts.segment_matmul import segment_matmul
from tilebank.mil.heads.parts.segment_sort import random_keys, segment_ranks, split_segments
from tilebank.mil.heads.parts.single_bag import SingleBagConfig, SingleBagHead


@dataclass(frozen=True)
class DtfdConfig(SingleBagConfig):
    """`groups`: G; `distil`: how a pseudo-bag is distilled."""

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
    """Logits of pseudo-bags and of bags, which pseudo-bags are not empty (B, G), and attention (T, N)."""

    first: Tensor
    second: Tensor
    is_filled: Tensor
    weights: Tensor


class Dtfd(SingleBagHead):
    """T heads of two tiers."""

    config: DtfdConfig

    def __init__(self, config: DtfdConfig, *, dim: int, seeds: Sequence[int], outputs: Outputs = BINARY) -> None:
        super().__init__(config, dim=dim, outputs=outputs)
        generators, width, attention = generators_of(seeds), config.hidden, config.attention  # used in this order
        self.scorer = AttentionScorer(
            dim, width, attention, gated=True, instances=config.instances, generators=generators
        )
        self.first = StackedLinear(width, outputs.count, generators=generators)
        self.score = AttentionScore(width, attention, gated=True, generators=generators)
        self.second = StackedLinear(width, outputs.count, generators=generators)

    @property
    def pooled_width(self) -> int:
        """C of the second tier."""
        return self.config.hidden

    @property
    def floats_per_instance(self) -> int:
        """h before and after the split, the attention branches, gradients, and the integer ranks."""
        return 8 * self.config.hidden + 8 * self.config.attention + 4 * self.outputs.count + 16

    @property
    def noise_width(self) -> int:
        """One number, the seed of a breast's random split."""
        return 1

    def run(self, bags: PreparedBags, *, noise: StepNoise = NO_NOISE) -> ForwardPass:
        """Logits of the second tier, and each instance's share of its attention."""
        rows = self.rows(bags)
        tiers = self._forward(rows, noise)
        return ForwardPass(tiers.second, Attention(tiers.weights, rows))

    def losses(self, bags: PreparedBags, labels: Tensor, *, criterion: Criterion, noise: StepNoise) -> Losses:
        """The second tier's losses, plus the first tier's."""
        tiers = self._forward(self.rows(bags), noise)
        group_losses = criterion(tiers.first, labels.repeat_interleave(self.config.groups, dim=0))  # (T, B x G)
        kept = group_losses.view(-1, *tiers.is_filled.shape) * tiers.is_filled  # (T, B, G)
        first = kept.sum(dim=2) / tiers.is_filled.sum(dim=1).clamp_min(1)
        return Losses(criterion(tiers.second, labels), first)

    def _forward(self, rows: Rows, noise: StepNoise) -> _Tiers:
        h, scores = self.scorer(rows)  # (T, C, N), (T, N)
        keys = scores if noise.uniform is None else random_keys(noise.uniform.squeeze(1), rows.segments)
        split, groups = split_segments(segment_ranks(keys, rows.segments), rows.segments, parts=self.config.groups)
        h = h.gather(2, split.unsqueeze(1).expand_as(h))  # (T, C, N), a pseudo-bag's rows together
        weights = segment_softmax(scores.gather(1, split), groups)  # (T, N)
        pooled = segment_matmul(weights.unsqueeze(1), h, groups)  # (T, 1, B x G, C)
        first = self.as_logits(self.first(pooled.squeeze(1).mT))

        distil_weights = self._distil_weights(h, weights, groups)  # (T, K, N)
        distilled = pooled if self.config.distil == "afs" else segment_matmul(distil_weights, h, groups)
        distilled = distilled.detach().transpose(1, 2).flatten(1, 2).mT  # (T, C, B x G x K)
        is_filled = groups.is_filled.view(-1, self.config.groups)  # (B, G)
        group_weights = self._group_weights(distilled, is_filled)  # (T, B, G, K)
        by_bag = distilled.view(*distilled.shape[:2], len(is_filled), -1)  # (T, C, B, G x K)
        bags = torch.einsum("tcbk,tbk->tcb", by_bag, group_weights.flatten(2))
        second = self.as_logits(self.second(noise.dropout(bags)))
        share = group_weights.flatten(1, 2)[:, groups.owner].mT * distil_weights  # (T, K, N)
        return _Tiers(first, second, is_filled, torch.empty_like(weights).scatter_(1, split, share.sum(dim=1)))

    @torch.no_grad()
    def _distil_weights(self, h: Tensor, weights: Tensor, groups: Segments) -> Tensor:
        """Weight of each row in its pseudo-bag's distilled vectors: (T, K, N), summing to one over a pseudo-bag."""
        if self.config.distil == "afs":
            return weights.unsqueeze(1)
        scores = (weights.unsqueeze(1) * (self.first.weight @ h)).amax(dim=1)  # (T, N)
        signs = (1, -1) if self.config.distil == "max_min" else (1,)
        ranks = torch.stack([segment_ranks(sign * scores, groups) for sign in signs], dim=1)
        return (ranks == 0).to(h.dtype)

    def _group_weights(self, distilled: Tensor, is_filled: Tensor) -> Tensor:
        """The second tier's attention over a bag's distilled vectors: (T, C, B x G x K) -> (T, B, G, K)."""
        scores = self.score(distilled).view(len(distilled), *is_filled.shape, -1)
        scores = scores.masked_fill(~is_filled.unsqueeze(2), -torch.inf)
        is_bag = is_filled.any(dim=1).view(-1, 1, 1)
        weights = torch.softmax(torch.where(is_bag, scores, 0.0).flatten(2), dim=2).view_as(scores)
        return torch.where(is_bag, weights, 0.0)
