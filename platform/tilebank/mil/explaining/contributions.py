"""What the views, the tiles, and each tile add to a breast's logit: the head with them, less the head without.

Knows the contract, no particular head. Where a head adds a term of each stream, as the dual-stream head does, this is
that term. Elsewhere the two need not come to the logit together: what they do jointly is in neither, or in both.
B breast, C answer (1 for yes or no).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tilebank.mil.bags.bags import BagBatch
from tilebank.mil.contract.head import Head
from tilebank.mil.explaining.ablated_bags import evidence_of_tiles, logits_of
from tilebank.mil.explaining.tile_attention import attend_tiles


@dataclass(frozen=True, eq=False)
class Contributions:
    """Logits of each breast, and what is lost of them without its views or without its tiles: all (B, C)."""

    logits: NDArray[np.float64]
    of_views: NDArray[np.float64]
    of_tiles: NDArray[np.float64]


def contributions_of(head: Head, bags: BagBatch) -> Contributions:
    """Of the first head of a pack. A stream that the head does not read contributes 0."""
    logits = logits_of(head, bags)
    return Contributions(
        logits=logits,
        of_views=logits - logits_of(head, bags.without(views=True, tiles=False)),
        of_tiles=logits - logits_of(head, bags.without(views=False, tiles=True)),
    )


def contributions_of_tiles(head: Head, bags: BagBatch) -> NDArray[np.float64]:
    """A tile's attention times what it says: the logit with it alone, less the logit without tiles. (Nt, C)

    Where a head's answer is linear in what its attention pools, as in `dual_stream` and `abmil`, these come to the
    tiles' contribution exactly; elsewhere they are its first term. Below 0 where a tile speaks against.
    Raises HeadError for a head without attention.
    """
    without = logits_of(head, bags.without(views=False, tiles=True))  # (B, C)
    owners = np.repeat(np.arange(len(bags)), bags.tile_offsets.diff().cpu().numpy())
    said: NDArray[np.float64] = evidence_of_tiles(head, bags) - without[owners]
    return np.asarray(attend_tiles(head, bags)[0][:, None] * said)
