"""Vectors as a head reads them: kept as they are stored, float32 only while a layer computes on them.

Knows rows and offsets, not bags or heads. N instance, Nv view, Nt tile, D encoder dimension.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from tilebank.mil.bags.segments import Segments, segments_of

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


@dataclass(frozen=True, eq=False)
class Merged:
    """Views and tiles of each breast as one bag, views first; `view_rows` (Nv,) and `tile_rows` (Nt,) are their places.

    `is_view` (N,) is 1.0 for a view and 0.0 for a tile. Nothing is copied before it is read.
    """

    views: Ragged
    tiles: Ragged
    view_rows: Tensor
    tile_rows: Tensor
    is_view: Tensor
    segments: Segments

    def read(self) -> Tensor:
        """Features (N, D) in float32, scaled, in the bags' order. Made anew at each call, never to be kept."""
        ready = torch.empty(len(self.is_view), self.views.features.shape[1], device=self.is_view.device)
        for part, rows in ((self.views, self.view_rows), (self.tiles, self.tile_rows)):
            ready.index_copy_(0, rows, part.read())
        return ready


Rows = Ragged | Merged


def prepare_ragged(features: Tensor, offsets: Tensor, *, l2_normalise: bool) -> Ragged:
    """Rows (N, D) of one kind, ready to be read any number of times; each of length one if asked. Copies nothing."""
    return Ragged(features, _scale_of(features) if l2_normalise else None, segments_of(offsets))


def merge_ragged(views: Ragged, tiles: Ragged) -> Merged:
    """The two kinds of the same breasts as one bag each."""
    view_offsets, tile_offsets = views.segments.offsets, tiles.segments.offsets
    device = view_offsets.device
    view_rows = torch.arange(len(views.features), device=device) + tile_offsets[views.segments.owner]
    tile_rows = torch.arange(len(tiles.features), device=device) + view_offsets[1:][tiles.segments.owner]
    is_view = torch.zeros(len(view_rows) + len(tile_rows), device=device).index_fill_(0, view_rows, 1.0)
    return Merged(views, tiles, view_rows, tile_rows, is_view, segments_of(view_offsets + tile_offsets))


def _scale_of(features: Tensor) -> Tensor:
    """One over the length of every row: (N, D) -> (N,)."""
    blocks = torch.split(features, _BLOCK_ROWS)  # float32 of a block at a time, not of all
    lengths = [torch.linalg.vector_norm(block, dim=1, dtype=torch.float32) for block in blocks]
    return torch.cat(lengths).clamp_min_(_SMALLEST_NORM).reciprocal_()
