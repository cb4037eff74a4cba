"""Feature rows with bag offsets, converted to float32 only when a layer reads them.

N instance, Nv view, Nt tile, D encoder dimension.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from tilebank.mil.bags.segments import Segments, segments_of

_BLOCK_ROWS = 65_536  # rows normalised at a time: limits the memory
_SMALLEST_NORM = 1e-12  # a vector of zeros stays zero


@dataclass(frozen=True, eq=False)
class Ragged:
    """Features (N, D) as stored, a scale for each row (N,) or None, and the rows of each breast."""

    features: Tensor
    scale: Tensor | None
    segments: Segments

    def read(self) -> Tensor:
        """Features (N, D) in float32, scaled. A new copy at each call; do not keep it."""
        ready = self.features.to(torch.float32)
        if self.scale is None:
            return ready
        scale = self.scale.unsqueeze(1)
        return ready * scale if ready is self.features else ready.mul_(scale)


@dataclass(frozen=True, eq=False)
class Merged:
    """Views and tiles of each breast as one bag, views first, at rows `view_rows` (Nv,) and `tile_rows` (Nt,).

    `is_view` (N,) is 1.0 for a view and 0.0 for a tile. Nothing is copied before `read`.
    """

    views: Ragged
    tiles: Ragged
    view_rows: Tensor
    tile_rows: Tensor
    is_view: Tensor
    segments: Segments

    def read(self) -> Tensor:
        """Features (N, D) in float32, scaled, in bag order. A new copy at each call; do not keep it."""
        ready = torch.empty(len(self.is_view), self.views.features.shape[1], device=self.is_view.device)
        for part, rows in ((self.views, self.view_rows), (self.tiles, self.tile_rows)):
            ready.index_copy_(0, rows, part.read())
        return ready


Rows = Ragged | Merged


def prepare_ragged(features: Tensor, offsets: Tensor, *, l2_normalise: bool) -> Ragged:
    """Wrap rows (N, D) of one kind without copying; with `l2_normalise` each row is read with length one."""
    return Ragged(features, _scale_of(features) if l2_normalise else None, segments_of(offsets))


def merge_ragged(views: Ragged, tiles: Ragged) -> Merged:
    """Merge views and tiles of the same breasts into one bag per breast."""
    view_offsets, tile_offsets = views.segments.offsets, tiles.segments.offsets
    device = view_offsets.device
    view_rows = torch.arange(len(views.features), device=device) + tile_offsets[views.segments.owner]
    tile_rows = torch.arange(len(tiles.features), device=device) + view_offsets[1:][tiles.segments.owner]
    is_view = torch.zeros(len(view_rows) + len(tile_rows), device=device).index_fill_(0, view_rows, 1.0)
    return Merged(views, tiles, view_rows, tile_rows, is_view, segments_of(view_offsets + tile_offsets))


def _scale_of(features: Tensor) -> Tensor:
    """One over the L2 norm of every row: (N, D) -> (N,)."""
    blocks = torch.split(features, _BLOCK_ROWS)  # float32 of one block at a time
    lengths = [torch.linalg.vector_norm(block, dim=1, dtype=torch.float32) for block in blocks]
    return torch.cat(lengths).clamp_min_(_SMALLEST_NORM).reciprocal_()
