"""Logits of breasts with some of their tiles: what a stream, a tile or a share of the tiles adds is measured by them.

Knows the contract, no particular head. B breast, V variant, Nt tile, C answer (1 for yes or no).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tilebank.mil.bags.bags import BagBatch, cut_pieces
from tilebank.mil.contract.head import Head

_ROWS = 16_384  # vectors copied and scored together: bounds the memory that they take


@dataclass(frozen=True, eq=False)
class Variant:
    """A breast, by its place, with all of its views and only these tiles, by their rows in `tile_features`."""

    breast: int
    tiles: NDArray[np.int64]


def logits_of(head: Head, bags: BagBatch) -> NDArray[np.float64]:
    """What the first head of a pack gives each breast: (B, C)."""
    with torch.inference_mode():
        pieces = [head(bags.between(start, stop))[0] for start, stop in cut_pieces(bags.rows, most=_ROWS)]
        logits: NDArray[np.float64] = torch.cat(pieces).reshape(len(bags), -1).double().cpu().numpy()
    return logits


def logits_of_variants(head: Head, bags: BagBatch, variants: Sequence[Variant]) -> NDArray[np.float64]:
    """What the first head of a pack gives each variant: (V, C)."""
    return np.concatenate([logits_of(head, some) for some in _in_pieces(bags, variants)])


def evidence_of_tiles(head: Head, bags: BagBatch) -> NDArray[np.float64]:
    """The logits that a breast would have with each tile as its only one, views as they are: (Nt, C).

    Unlike attention, which is shared out within a breast, they can be compared between breasts.
    """
    owners = np.repeat(np.arange(len(bags)), bags.tile_offsets.diff().cpu().numpy())
    if not len(owners):
        return np.empty((0, head.outputs.count))
    alone = [Variant(int(owner), np.asarray([row], dtype=np.int64)) for row, owner in enumerate(owners)]
    return logits_of_variants(head, bags, alone)


def _in_pieces(bags: BagBatch, variants: Sequence[Variant]) -> Iterator[BagBatch]:
    views = bags.view_offsets.diff().cpu().numpy()
    counts = np.asarray([views[each.breast] + len(each.tiles) for each in variants])
    for start, stop in cut_pieces(counts, most=_ROWS):
        yield _bags_of(bags, variants[start:stop])


def _bags_of(bags: BagBatch, variants: Sequence[Variant]) -> BagBatch:
    offsets = bags.view_offsets.cpu().numpy()
    views = [np.arange(offsets[each.breast], offsets[each.breast + 1]) for each in variants]
    tiles = [each.tiles for each in variants]
    return BagBatch(
        view_features=bags.view_features[torch.from_numpy(np.concatenate(views)).to(bags.device)],
        view_offsets=_offsets_of(views).to(bags.device),
        tile_features=bags.tile_features[torch.from_numpy(np.concatenate(tiles)).to(bags.device)],
        tile_offsets=_offsets_of(tiles).to(bags.device),
        labels=None,
        breast_ids=tuple(bags.breast_ids[each.breast] for each in variants),
    )


def _offsets_of(rows: Sequence[NDArray[np.int64]]) -> torch.Tensor:
    return torch.from_numpy(np.concatenate([[0], np.cumsum([len(each) for each in rows])]).astype(np.int64))
