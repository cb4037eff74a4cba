"""Attention of every tile as an array."""

import numpy as np
import torch
from numpy.typing import NDArray

from tilebank.errors import HeadError
from tilebank.mil.bags.bags import BagBatch, chunk_bags
from tilebank.mil.contract.head import Head

_ROWS = 16_384  # vectors computed at a time: limits the memory of their float32 copies


def tile_attention(head: Head, bags: BagBatch) -> NDArray[np.float64]:
    """Attention of every tile, normalised over its breast: (T, Nt). Raises HeadError for a head without attention."""
    with torch.inference_mode():
        chunks = [
            head.attention(bags.between(start, stop)) for start, stop in chunk_bags(bags.bag_sizes, max_rows=_ROWS)
        ]
        weights: NDArray[np.float64] = torch.cat(chunks, dim=1).double().cpu().numpy()
    return weights


def why_no_attention(head: Head) -> str:
    """The reason why `head` has no attention on tiles; empty if it has."""
    vector, offsets = torch.zeros(1, head.dim), torch.tensor([0, 1])
    parts = {"view_features": vector, "view_offsets": offsets, "tile_features": vector, "tile_offsets": offsets}
    try:
        tile_attention(head, BagBatch(**parts, labels=None, breast_ids=("none",)))
    except HeadError as error:
        return str(error)
    return ""
