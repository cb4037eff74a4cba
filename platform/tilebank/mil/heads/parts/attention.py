"""Attention pooling of ABMIL, plain or gated.

Ilse, Tomczak and Welling (ICML 2018, equations 8 and 9): w . tanh(V h), gated: w . (tanh(V h) * sigmoid(U h)).
T trial, N instance, B bag, C channel, A attention channel.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tilebank.mil.bags.ragged import Rows
from tilebank.mil.bags.segments import Segments, segment_softmax, segment_sum
from tilebank.mil.heads.parts.layers import StackedLinear, linear_weights
from tilebank.mil.heads.parts.single_bag import Instances, Projection


def pool_by_attention(h: Tensor, scores: Tensor, segments: Segments) -> tuple[Tensor, Tensor]:
    """Pool h (T, C, N) by the softmax of scores (T, N) over each bag -> (T, C, B), and the attention (T, N)."""
    weights = segment_softmax(scores, segments)
    return segment_sum(weights.unsqueeze(1) * h, segments), weights


class AttentionScore(nn.Module):
    """Attention scores of instances: h (T, C, N) -> (T, N)."""

    def __init__(self, width: int, attention: int, *, gated: bool, generators: Sequence[torch.Generator]) -> None:
        super().__init__()
        branches = 2 if gated else 1  # V, then U: one matrix product for both
        self.branches = StackedLinear(width, branches * attention, generators=generators)
        first = [linear_weights((1, attention), inputs=attention, generator=each) for each in generators]
        self.w = nn.Parameter(torch.stack(first))  # (T, 1, A) no bias: softmax cancels it
        self.gated = gated

    def forward(self, h: Tensor) -> Tensor:
        """(T, C, N) -> (T, N)."""
        hidden = self.branches(h)  # (T, A, N), or (T, 2 A, N)
        if self.gated:
            value, gate = hidden.chunk(2, dim=1)
            hidden = torch.tanh(value) * torch.sigmoid(gate)
        else:
            hidden = torch.tanh(hidden)
        return (self.w @ hidden).squeeze(1)


class AttentionScorer(nn.Module):
    """Projection and attention scores: rows of bags -> h (T, C, N) = ReLU(W x + b) and scores (T, N)."""

    def __init__(
        self,
        dim: int,
        width: int,
        attention: int,
        *,
        gated: bool,
        instances: Instances,
        generators: Sequence[torch.Generator],
    ) -> None:
        super().__init__()
        self.projection = Projection(dim, width, instances=instances, generators=generators)
        self.score = AttentionScore(width, attention, gated=gated, generators=generators)

    def forward(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """(N, D) -> (T, C, N), (T, N)."""
        h = self.projection(rows)
        return h, self.score(h)
