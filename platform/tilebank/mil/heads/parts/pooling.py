"""Poolings of the dual-stream head: the instances of each bag -> one vector, for a pack of heads.

T trial, N instance, B bag, C channel. An empty bag pools to zeros.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from tilebank.mil.bags.segments import Segments, segment_max, segment_mean, segment_softmax, segment_sum
from tilebank.mil.heads.parts.layers import StackedLinear


class Pooling(nn.Module, ABC):
    """Base class of a pooling: instances (T, C, N) and their bags -> (T, C, B)."""

    @abstractmethod
    def forward(self, z: Tensor, segments: Segments) -> Tensor:
        """(T, C, N) -> (T, C, B)."""


class PlainPooling(Pooling):
    """Max or mean over the bag, without parameters."""

    def __init__(self, reduction: Callable[[Tensor, Segments], Tensor]) -> None:
        super().__init__()
        self.reduction = reduction

    def forward(self, z: Tensor, segments: Segments) -> Tensor:
        """(T, C, N) -> (T, C, B)."""
        return self.reduction(z, segments)


class LatentAttention(Pooling):
    """Attention by one learned latent q: sum of softmax(K z . q / sqrt(C)) V z over the bag.

    K and V are Linear(C, C). Scaled dot-product attention with one query (Vaswani et al., 2017, eq. 1). Two identities
    save products of (T, C, N): (K z) . q = z . (K' q), and because the weights of a bag sum to one, V can act on the
    pooled vector instead of on every instance.
    """

    def __init__(self, width: int, generators: Sequence[torch.Generator]) -> None:
        super().__init__()
        self.key = StackedLinear(width, width, generators=generators)
        self.value = StackedLinear(width, width, generators=generators)
        # Unit variance, which the division by sqrt(C) assumes.
        self.latent = nn.Parameter(torch.stack([torch.randn(width, generator=each) for each in generators]))  # (T, C)

    def scores(self, z: Tensor) -> Tensor:
        """Attention scores before the softmax: (T, C, N) -> (T, N)."""
        latent = self.latent.unsqueeze(1) / math.sqrt(self.latent.shape[1])  # (T, 1, C)
        direction = latent @ self.key.weight  # (T, 1, C)
        shift = latent @ self.key.bias.unsqueeze(2)  # (T, 1, 1)
        return torch.baddbmm(shift, direction, z).squeeze(1)

    def forward(self, z: Tensor, segments: Segments) -> Tensor:
        """(T, C, N) -> (T, C, B)."""
        return self.pool(z, segment_softmax(self.scores(z), segments), segments)

    def pool(self, z: Tensor, weights: Tensor, segments: Segments) -> Tensor:
        """Pool z (T, C, N) by weights (T, N) -> (T, C, B)."""
        pooled = segment_sum(weights.unsqueeze(1) * z, segments)  # (T, C, B)
        values: Tensor = self.value(pooled)
        return torch.where(segments.is_filled, values, 0.0)


POOLINGS: dict[str, Callable[[int, Sequence[torch.Generator]], Pooling]] = {
    "max": lambda _width, _generators: PlainPooling(segment_max),
    "mean": lambda _width, _generators: PlainPooling(segment_mean),
    "attention": LatentAttention,
}
