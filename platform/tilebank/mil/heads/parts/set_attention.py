"""Attention blocks of the Set Transformer: the rows of a bag and a few latent vectors attend to each other.

Lee et al. (ICML 2019), X attending to Y, both of width C; heads have no output projection, as in the authors' code:
    MAB(X, Y) = LN(H + ReLU(W H + b)),    H = LN(X + concat_k softmax((W_q X)_k (W_k Y)_k' / sqrt(C / K)) (W_v Y)_k)
    ISAB(X) = MAB(X, MAB(I, X))  with learned latents I;  cost: rows times latents
Gated: MAB(X, Y) * SiLU(W_g X + b_g). A bias of W_k would shift all scores of a query alike, so it is left out. Latents
attend to the rows of a bag by segment operations; rows attend to their bag's latents by one product per bag. Nothing is
padded. T trial, N row, B bag, C channel, K head, L latent.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from tilebank.mil.bags.segments import Segments, segment_softmax
from tilebank.mil.heads.parts.layers import StackedLayerNorm, StackedLinear, linear_weights
from tilebank.mil.heads.parts.segment_matmul import segment_linear, segment_matmul


class AttentionBlock(nn.Module):
    """Multihead attention block (MAB) of T trials, optionally gated."""

    def __init__(self, width: int, *, heads: int, gated: bool, generators: Sequence[torch.Generator]) -> None:
        super().__init__()
        self.query = StackedLinear(width, width, generators=generators)
        keys = [linear_weights((width, width), inputs=width, generator=each) for each in generators]
        self.key = nn.Parameter(torch.stack(keys))  # (T, C, C)
        self.value = StackedLinear(width, width, generators=generators)
        self.feed = StackedLinear(width, width, generators=generators)
        self.norms = nn.ModuleList(StackedLayerNorm(width, trials=len(generators)) for _ in range(2))
        self.gate = StackedLinear(width, width, generators=generators) if gated else None
        self.heads = heads

    def latents_attend(self, latents: Tensor, rows: Tensor, segments: Segments) -> tuple[Tensor, Tensor]:
        """Latents (T, C, L) attend to the rows (T, C, N) of each bag -> (T, C, L, B), and attention (T, K, L, N)."""
        (trials, width, count), bags = latents.shape, len(segments.lengths)
        query = self._by_head(self.query(latents)) / math.sqrt(width // self.heads)  # (T, K, C/K, L)
        weights = segment_softmax(query.mT @ self._by_head(self.key @ rows), segments)  # (T, K, L, N)
        attended = segment_matmul(weights, self._by_head(self.value(rows)), segments)  # (T, K, L, B, C/K)
        attended = attended.permute(0, 1, 4, 2, 3).reshape(trials, width, count * bags)
        queries = latents.unsqueeze(3).expand(-1, -1, -1, bags).flatten(2)  # (T, C, L x B)
        return self._finish(queries, attended).view(trials, width, count, bags), weights

    def rows_attend(self, rows: Tensor, latents: Tensor, segments: Segments) -> Tensor:
        """Rows (T, C, N) attend to the latents of their bags (T, C, L, B) -> (T, C, N)."""
        trials, width, count, bags = latents.shape
        shape, columns = (trials, self.heads, width // self.heads, count, bags), latents.flatten(2)
        keys = (self.key @ columns).view(shape).permute(0, 1, 3, 4, 2)  # (T, K, L, B, C/K)
        query = self._by_head(self.query(rows)) / math.sqrt(width // self.heads)
        weights = torch.softmax(segment_linear(keys, query, segments), dim=2)  # (T, K, L, N)
        values = self.value(columns).view(shape).transpose(3, 4)  # (T, K, C/K, B, L)
        return self._finish(rows, segment_linear(values, weights, segments).flatten(1, 2))

    def _finish(self, queries: Tensor, attended: Tensor) -> Tensor:
        """(T, C, N) twice -> (T, C, N)."""
        x: Tensor = self.norms[0](queries + attended)
        x = self.norms[1](x + torch.relu(self.feed(x)))
        return x if self.gate is None else x * silu(self.gate(queries))

    def _by_head(self, columns: Tensor) -> Tensor:
        """(T, C, N) -> (T, K, C/K, N)."""
        return columns.view(len(columns), self.heads, columns.shape[1] // self.heads, columns.shape[2])


class InducedBlock(nn.Module):
    """Induced set attention block (ISAB) of T trials: (T, C, N) -> (T, C, N)."""

    def __init__(
        self, width: int, *, latents: int, heads: int, gated: bool, generators: Sequence[torch.Generator]
    ) -> None:
        super().__init__()
        first = [linear_weights((width, latents), inputs=width, generator=each) for each in generators]
        self.latents = nn.Parameter(torch.stack(first))  # (T, C, L)
        self.gather = AttentionBlock(width, heads=heads, gated=gated, generators=generators)
        self.spread = AttentionBlock(width, heads=heads, gated=gated, generators=generators)

    def forward(self, rows: Tensor, segments: Segments) -> Tensor:
        """(T, C, N) -> (T, C, N)."""
        gathered, _ = self.gather.latents_attend(self.latents, rows, segments)
        return self.spread.rows_attend(rows, gathered, segments)
