"""Deletion and insertion curves: how the score changes as tiles are removed or added in the order of a map.

Petsiuk, Das and Saenko (RISE, BMVC 2018), with tiles for pixels: the tiles that a faithful map ranks first change the
score faster than randomly chosen tiles. B breast, F share of the tiles, n tiles of a breast, V ablated bag.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tilebank.mil.bags.bags import BagBatch
from tilebank.mil.contract.head import Head
from tilebank.mil.contract.outputs import probabilities
from tilebank.mil.explaining.ablated_bags import AblatedBag, ablated_logits

SHARES = np.linspace(0, 1, 11)  # of the tiles, removed or added


@dataclass(frozen=True, eq=False)
class BreastCurves:
    """Scores of one breast (F,) as a growing share of its tiles is removed (`deletion`) or added (`insertion`).

    `..._at_random`: tiles in random order, the mean of several.
    """

    deletion: NDArray[np.float64]
    insertion: NDArray[np.float64]
    deletion_at_random: NDArray[np.float64]
    insertion_at_random: NDArray[np.float64]


def score_curves(
    head: Head, bags: BagBatch, values: NDArray[np.float64], *, random_orders: int = 5, seed: int
) -> dict[str, BreastCurves]:
    """Curves, at SHARES, of every breast with tiles, by breast id; for binary heads.

    Tiles are removed or added in the order of `values` (Nt,), highest first, and in `random_orders` random orders;
    views stay. Random orders depend on the seed and the breast's id only, not on the other breasts.
    """
    offsets = bags.tile_offsets.tolist()
    curves = {}
    for place, breast_id in enumerate(bags.breast_ids):
        start, stop = offsets[place], offsets[place + 1]
        if stop > start:
            ranked = np.argsort(-values[start:stop], kind="stable")
            orders = [ranked, *_random_orders(breast_id, n=stop - start, count=random_orders, seed=seed)]
            scores = _scores(head, bags, place, orders, start=start)  # (orders, 2, F)
            curves[breast_id] = BreastCurves(*scores[0], *scores[1:].mean(axis=0))
    return curves


def _random_orders(breast_id: str, *, n: int, count: int, seed: int) -> Iterator[NDArray[np.int64]]:
    generator = np.random.default_rng([seed, *breast_id.encode()])
    for _ in range(count):
        yield generator.permutation(n)


def _scores(
    head: Head, bags: BagBatch, place: int, orders: Sequence[NDArray[np.int64]], *, start: int
) -> NDArray[np.float64]:
    """Scores of one breast by order, by deletion and insertion, by share: (orders, 2, F)."""
    counts = np.floor(SHARES * len(orders[0]) + 0.5).astype(np.int64)  # (F,)
    ablated = [
        AblatedBag(place, start + np.sort(kept))
        for order in orders
        for kept in (*(order[count:] for count in counts), *(order[:count] for count in counts))
    ]
    logits = torch.from_numpy(ablated_logits(head, bags, ablated)[:, 0])  # (V,)
    scores: NDArray[np.float64] = probabilities(logits, head.outputs).numpy()
    return scores.reshape(len(orders), 2, len(SHARES))
