"""Rank the rows of ragged segments, by value or at random, and split segments into smaller ones.

N row, B segment; `...` stands for any axes before the rows. No function here has a gradient.
"""

import torch
from torch import Tensor

from tilebank.mil.bags.segments import Segments, segments_of

_LOW_32 = 0xFFFFFFFF
_NOISE_LEVELS = 1 << 24  # resolution of a float32 in [0, 1)


@torch.no_grad()
def segment_ranks(values: Tensor, segments: Segments) -> Tensor:
    """Rank of each row in its segment, 0 for the highest value, ties in row order: (..., N) int64."""
    by_value = values.argsort(dim=-1, descending=True, stable=True)
    by_owner = segments.owner[by_value].argsort(dim=-1, stable=True)
    order = by_value.gather(-1, by_owner)  # (..., N) rows by segment, then by value
    positions = (torch.arange(values.shape[-1], device=values.device) - segments.offsets[segments.owner]).expand_as(
        order
    )
    return torch.empty_like(order).scatter_(-1, order, positions)


@torch.no_grad()
def random_keys(noise: Tensor, segments: Segments) -> Tensor:
    """Pseudo-random integer of each row from one uniform number per segment: (..., B) -> (..., N) int64.

    It depends only on the segment's number and the row's position, so segments can be computed separately. The hash is
    the 32-bit finalizer of MurmurHash3 (Appleby, public domain).
    """
    positions = torch.arange(len(segments.owner), device=noise.device) - segments.offsets[segments.owner]
    level = (noise * _NOISE_LEVELS).long()[..., segments.owner]
    key = (level * 0x9E3779B1 + positions * 0x7FEB352D + 1) & _LOW_32
    key = ((key ^ (key >> 16)) * 0x85EBCA6B) & _LOW_32
    key = ((key ^ (key >> 13)) * 0xC2B2AE35) & _LOW_32
    return key ^ (key >> 16)


@torch.no_grad()
def split_segments(ranks: Tensor, segments: Segments, *, parts: int) -> tuple[Tensor, Segments]:
    """Distribute the rows of each segment over `parts` smaller segments, round robin in the order of `ranks` (T, N).

    A segment with fewer than two rows per part uses only half as many parts as it has rows, rounded up. Returns the
    rows in the new order (T, N), and the B x parts new segments, whose lengths are the same for all trials.
    """
    turns, filled = torch.arange(parts, device=ranks.device), ((segments.lengths + 1) // 2).clamp(1, parts)  # (B,)
    lengths = (segments.lengths.unsqueeze(1) - turns - 1) // filled.unsqueeze(1) + 1
    lengths = torch.where(turns < filled.unsqueeze(1), lengths, 0).flatten()  # (B x parts,)
    split = segments_of(torch.cat([lengths.new_zeros(1), lengths.cumsum(0)]))
    own = filled[segments.owner]  # (N,)
    positions = split.offsets[segments.owner * parts + ranks % own] + ranks // own  # (T, N)
    rows = torch.arange(ranks.shape[-1], device=ranks.device).expand_as(ranks)
    return torch.empty_like(ranks).scatter_(-1, positions, rows), split
