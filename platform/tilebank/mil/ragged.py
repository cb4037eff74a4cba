"""Vectors of one kind as a head reads them: kept as they are stored, float32 only while a layer computes on them.

Knows rows and offsets, not bags or heads. N instance, D encoder dimension.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from tilebank.mil.segments import Segments, segments_of

_BLOCK_ROWS = 65_536  # rows measured together: bounds the memory of the measuring
_SMALLEST_NORM = 1e-12  # a vector of zeros stays zeros


@dataclass(frozen=True, eq=False)
class Ragged:
    """Features (N, D) as they are stored, what to multiply each row with (N,) or None, where each breast's rows lie."""

    features: Tensor
    scale: Tensor | None
    segments: Segments

    def read(self) -> Tensor:
        """Features (N, D) in float32, scaled: what a layer computes on. Made anew at each call, never to be kept."""
        ready = self.features.to(torch.float32)
        if self.scale is None:
            return ready
        scale = self.scale.unsqueeze(1)
        return ready * scale if ready is self.features else ready.mul_(scale)


def prepare_ragged(features: Tensor, offsets: Tensor, *, l2_normalise: bool) -> Ragged:
    """Rows (N, D) of one kind, ready to be read any number of times; each of length one if asked. Copies nothing."""
    return Ragged(features, _scale_of(features) if l2_normalise else None, segments_of(offsets))


def _scale_of(features: Tensor) -> Tensor:
    """One over the length of every row: (N, D) -> (N,)."""
    blocks = torch.split(features, _BLOCK_ROWS)  # float32 of a block at a time, not of all
    lengths = [torch.linalg.vector_norm(block, dim=1, dtype=torch.float32) for block in blocks]
    return torch.cat(lengths).clamp_min_(_SMALLEST_NORM).reciprocal_()
