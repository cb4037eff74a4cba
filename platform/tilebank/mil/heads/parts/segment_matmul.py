"""Products of a segment's rows with a matrix of its own. Knows rows and offsets, not bags or heads.

N row, B segment, C channel, Q result; `...` stands for any axes before them (trial, head).
"""

import torch
from torch import Tensor

from tilebank.mil.bags.segments import Segments


def segment_apply(matrices: Tensor, rows: Tensor, segments: Segments) -> Tensor:
    """Each segment's matrix on each of its rows: (..., Q, B, C) and (..., C, N) -> (..., Q, N).

    A product a segment, each of all trials: no matrix is spread over the rows that it acts on.
    """
    pairs = zip(matrices.unbind(dim=-2), torch.split(rows, segments.sizes, dim=-1), strict=True)
    return torch.cat([matrix @ columns for matrix, columns in pairs], dim=-1)
