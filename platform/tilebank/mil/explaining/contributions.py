"""Contributions of views, tiles and single tiles to a breast's logit: with them minus without them.

For a head that adds one term per stream, such as the dual-stream head, this is exactly that term. For other heads the
contributions of views and tiles need not sum to the logit: their joint effect is in neither, or in both.
B breast, C output (1 for binary).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tilebank.mil.bags.bags import BagBatch
from tilebank.mil.contract.head import Head
from tilebank.mil.explaining.ablated_bags import predict_logits, tile_evidence
from tilebank.mil.explaining.tile_attention import tile_attention


@dataclass(frozen=True, eq=False)
class Contributions:
    """Logits of each breast, and how much they drop without its views or without its tiles: all (B, C)."""

    logits: NDArray[np.float64]
    of_views: NDArray[np.float64]
    of_tiles: NDArray[np.float64]


def stream_contributions(head: Head, bags: BagBatch) -> Contributions:
    """Contributions of views and tiles by the first head of a pack; 0 for a kind that the head does not read."""
    logits = predict_logits(head, bags)
    return Contributions(
        logits=logits,
        of_views=logits - predict_logits(head, bags.without(views=True, tiles=False)),
        of_tiles=logits - predict_logits(head, bags.without(views=False, tiles=True)),
    )


def tile_contributions(head: Head, bags: BagBatch) -> NDArray[np.float64]:
    """Contribution of each tile: its attention times (logit with this tile only - logit without tiles). (Nt, C)

    If the logit is linear in the vector that attention pools, as in `dual_stream` and `abmil`, they sum exactly to the
    contribution of all tiles; otherwise they are a first-order approximation. A negative value lowers the logit.
    Raises HeadError for a head without attention.
    """
    without = predict_logits(head, bags.without(views=False, tiles=True))  # (B, C)
    owners = np.repeat(np.arange(len(bags)), bags.tile_offsets.diff().cpu().numpy())
    added: NDArray[np.float64] = tile_evidence(head, bags) - without[owners]
    return np.asarray(tile_attention(head, bags)[0][:, None] * added)
