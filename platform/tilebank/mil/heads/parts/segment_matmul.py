"""Matrix products over ragged segments.

N row, B segment, C channel, Q result; `...` stands for any axes before them (trial, head).
"""

import torch
from torch import Tensor

from tilebank.mil.bags.segments import Segments


def segment_matmul(left: Tensor, right: Tensor, segments: Segments) -> Tensor:
    """Sum of products over each segment's rows: (..., Q, N) and (..., C, N) -> (..., Q, B, C).

    One matrix product per segment, for all trials at once, so that the (Q, C, N) products are never held in memory.
    The backward of torch.split is a single concatenation.
    """
    pairs = zip(torch.split(left, segments.sizes, dim=-1), torch.split(right, segments.sizes, dim=-1), strict=True)
    return torch.stack([rows @ columns.mT for rows, columns in pairs], dim=-2)


def segment_linear(matrices: Tensor, rows: Tensor, segments: Segments) -> Tensor:
    """Apply each segment's matrix to its rows: (..., Q, B, C) and (..., C, N) -> (..., Q, N).

    One matrix product per segment, for all trials at once, so that no matrix is repeated for every row.
    """
    pairs = zip(matrices.unbind(dim=-2), torch.split(rows, segments.sizes, dim=-1), strict=True)
    return torch.cat([matrix @ columns for matrix, columns in pairs], dim=-1)
