"""The order of rows within ragged segments: by a value, or by chance. Knows rows and offsets, not bags or heads.

N row, B segment; `...` stands for any axes before the rows. Nothing here has a gradient.
"""

import torch
from torch import Tensor

from tilebank.mil.bags.segments import Segments, segments_of

_LOW_32 = 0xFFFFFFFF
_NOISE_LEVELS = 1 << 24  # what a float32 in [0, 1) tells apart


@torch.no_grad()
def segment_ranks(values: Tensor, segments: Segments) -> Tensor:
    """The place of each row in its segment, 0 for the highest value, equals in their order: (..., N) int64."""
    by_value = values.argsort(dim=-1, descending=True, stable=True)
    by_owner = segments.owner[by_value].argsort(dim=-1, stable=True)
    order = by_value.gather(-1, by_owner)  # (..., N) rows by segment, then by value
    places = (torch.arange(values.shape[-1], device=values.device) - segments.offsets[segments.owner]).expand_as(order)
    return torch.empty_like(order).scatter_(-1, order, places)


@torch.no_grad()
def random_keys(noise: Tensor, segments: Segments) -> Tensor:
    """A pseudo-random whole number for each row from one uniform number a segment: (..., B) -> (..., N) int64.

    A row's number depends on its segment's noise and its own place in it, so that segments may be computed on apart.
    Mixed by the last step of MurmurHash3 (Appleby, public domain), of 32 bits.
    """
    places = torch.arange(len(segments.owner), device=noise.device) - segments.offsets[segments.owner]
    drawn = (noise * _NOISE_LEVELS).long()[..., segments.owner]
    key = (drawn * 0x9E3779B1 + places * 0x7FEB352D + 1) & _LOW_32
    key = ((key ^ (key >> 16)) * 0x85EBCA6B) & _LOW_32
    key = ((key ^ (key >> 13)) * 0xC2B2AE35) & _LOW_32
    return key ^ (key >> 16)


@torch.no_grad()
def deal(ranks: Tensor, segments: Segments, *, hands: int) -> tuple[Tensor, Segments]:
    """Deal the rows of each segment, in the order of `ranks` (T, N), to `hands` smaller segments in turn.

    A segment of fewer than two rows for each is dealt to half as many hands as it has rows, rounded up.
    Gives the rows in the new order (T, N), and the new segments, B x hands, which have the same lengths for all T.
    """
    turns, filled = torch.arange(hands, device=ranks.device), ((segments.lengths + 1) // 2).clamp(1, hands)  # (B,)
    lengths = (segments.lengths.unsqueeze(1) - turns - 1) // filled.unsqueeze(1) + 1
    lengths = torch.where(turns < filled.unsqueeze(1), lengths, 0).flatten()  # (B x hands,)
    dealt = segments_of(torch.cat([lengths.new_zeros(1), lengths.cumsum(0)]))
    own = filled[segments.owner]  # (N,)
    places = dealt.offsets[segments.owner * hands + ranks % own] + ranks // own  # (T, N)
    rows = torch.arange(ranks.shape[-1], device=ranks.device).expand_as(ranks)
    return torch.empty_like(ranks).scatter_(-1, places, rows), dealt
