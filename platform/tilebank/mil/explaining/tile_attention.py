"""Where a head looks: the attention of every tile as an array. Knows the contract, no particular head."""

import numpy as np
import torch
from numpy.typing import NDArray

from tilebank.errors import HeadError
from tilebank.mil.bags.bags import BagBatch, cut_pieces
from tilebank.mil.contract.head import Head

_ROWS = 16_384  # vectors looked at together: bounds the memory that float32 copies of them take


def attend_tiles(head: Head, bags: BagBatch) -> NDArray[np.float64]:
    """Attention of every tile of `bags`, normalised over its breast: (T, Nt). Raises HeadError for a head without."""
    with torch.inference_mode():
        pieces = [head.attention(bags.between(start, stop)) for start, stop in cut_pieces(bags.rows, most=_ROWS)]
        weights: NDArray[np.float64] = torch.cat(pieces, dim=1).double().cpu().numpy()
    return weights


def why_no_attention(head: Head) -> str:
    """Why `head` has no attention to show, in its own words; empty where it has."""
    vector, offsets = torch.zeros(1, head.dim), torch.tensor([0, 1])
    parts = {"view_features": vector, "view_offsets": offsets, "tile_features": vector, "tile_offsets": offsets}
    try:
        attend_tiles(head, BagBatch(**parts, labels=None, breast_ids=("none",)))
    except HeadError as error:
        return str(error)
    return ""
