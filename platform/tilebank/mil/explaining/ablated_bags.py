"""Logits of breasts with some of their tiles removed, from which contributions and faithfulness are computed.

B breast, V ablated bag, Nt tile, C output (1 for binary).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tilebank.mil.bags.bags import BagBatch, chunk_bags
from tilebank.mil.contract.head import Head

_ROWS = 16_384  # vectors copied and scored at a time: limits the memory


@dataclass(frozen=True, eq=False)
class AblatedBag:
    """A breast, by its position, with all of its views and only the tiles at these rows of `tile_features`."""

    breast: int
    tiles: NDArray[np.int64]


def predict_logits(head: Head, bags: BagBatch) -> NDArray[np.float64]:
    """Logits of every breast by the first head of a pack: (B, C)."""
    with torch.inference_mode():
        logits = [head(bags.between(start, stop))[0] for start, stop in chunk_bags(bags.bag_sizes, max_rows=_ROWS)]
        found: NDArray[np.float64] = torch.cat(logits).reshape(len(bags), -1).double().cpu().numpy()
    return found


def ablated_logits(head: Head, bags: BagBatch, ablated: Sequence[AblatedBag]) -> NDArray[np.float64]:
    """Logits of every ablated bag by the first head of a pack: (V, C)."""
    return np.concatenate([predict_logits(head, some) for some in _chunks(bags, ablated)])


def tile_evidence(head: Head, bags: BagBatch) -> NDArray[np.float64]:
    """Logits of a breast with each tile as its only tile and all of its views: (Nt, C).

    Unlike attention, which is normalised within a breast, they can be compared between breasts.
    """
    owners = np.repeat(np.arange(len(bags)), bags.tile_offsets.diff().cpu().numpy())
    if not len(owners):
        return np.empty((0, head.outputs.count))
    single = [AblatedBag(int(owner), np.asarray([row], dtype=np.int64)) for row, owner in enumerate(owners)]
    return ablated_logits(head, bags, single)


def _chunks(bags: BagBatch, ablated: Sequence[AblatedBag]) -> Iterator[BagBatch]:
    views = bags.view_offsets.diff().cpu().numpy()
    counts = np.asarray([views[each.breast] + len(each.tiles) for each in ablated])
    for start, stop in chunk_bags(counts, max_rows=_ROWS):
        yield _bags_of(bags, ablated[start:stop])


def _bags_of(bags: BagBatch, ablated: Sequence[AblatedBag]) -> BagBatch:
    offsets = bags.view_offsets.cpu().numpy()
    views = [np.arange(offsets[each.breast], offsets[each.breast + 1]) for each in ablated]
    tiles = [each.tiles for each in ablated]
    return BagBatch(
        view_features=bags.view_features[torch.from_numpy(np.concatenate(views)).to(bags.device)],
        view_offsets=_offsets_of(views).to(bags.device),
        tile_features=bags.tile_features[torch.from_numpy(np.concatenate(tiles)).to(bags.device)],
        tile_offsets=_offsets_of(tiles).to(bags.device),
        labels=None,
        breast_ids=tuple(bags.breast_ids[each.breast] for each in ablated),
    )


def _offsets_of(rows: Sequence[NDArray[np.int64]]) -> torch.Tensor:
    return torch.from_numpy(np.concatenate([[0], np.cumsum([len(each) for each in rows])]).astype(np.int64))
