"""Does attention say what drives the score? The score as tiles are taken away, or brought in, in its order.

Deletion and insertion as of Petsiuk, Das and Saenko (RISE, BMVC 2018) with tiles for pixels: what a map points at must
move the score more than tiles taken by chance. Knows the contract, no particular head.
B breast, F share of the tiles, n tiles of a breast.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tilebank.mil.bags.bags import BagBatch
from tilebank.mil.contract.head import Head
from tilebank.mil.contract.outputs import probabilities
from tilebank.mil.explaining.ablated_bags import Variant, logits_of_variants

SHARES = np.linspace(0, 1, 11)  # of the tiles, taken away or brought in


@dataclass(frozen=True, eq=False)
class BreastCurves:
    """Scores of one breast (F,) as the share of its tiles that is away (`deletion`) or there (`insertion`) grows.

    `..._at_random`: tiles taken in random orders, the mean of several.
    """

    deletion: NDArray[np.float64]
    insertion: NDArray[np.float64]
    deletion_at_random: NDArray[np.float64]
    insertion_at_random: NDArray[np.float64]


def score_curves(
    head: Head, bags: BagBatch, values: NDArray[np.float64], *, draws: int = 5, seed: int
) -> dict[str, BreastCurves]:
    """Curves, at SHARES, of every breast with tiles by its id; the head answers yes or no.

    Tiles go and come in the order of `values` (Nt,), the highest first, and in `draws` random orders; views stay. A
    random order is drawn from the seed and the breast's id: it does not depend on the breasts beside it.
    """
    offsets = bags.tile_offsets.tolist()
    found = {}
    for place, breast_id in enumerate(bags.breast_ids):
        start, stop = offsets[place], offsets[place + 1]
        if stop > start:
            ranked = np.argsort(-values[start:stop], kind="stable")
            orders = [ranked, *_random_orders(breast_id, n=stop - start, draws=draws, seed=seed)]
            scores = _scores(head, bags, place, orders, start=start)  # (orders, 2, F)
            found[breast_id] = BreastCurves(*scores[0], *scores[1:].mean(axis=0))
    return found


def _random_orders(breast_id: str, *, n: int, draws: int, seed: int) -> Iterator[NDArray[np.int64]]:
    generator = np.random.default_rng([seed, *breast_id.encode()])
    for _ in range(draws):
        yield generator.permutation(n)


def _scores(
    head: Head, bags: BagBatch, place: int, orders: Sequence[NDArray[np.int64]], *, start: int
) -> NDArray[np.float64]:
    """Scores of one breast by order, by deletion and insertion, by share: (orders, 2, F)."""
    taken = np.floor(SHARES * len(orders[0]) + 0.5).astype(np.int64)  # (F,)
    variants = [
        Variant(place, start + np.sort(kept))
        for order in orders
        for kept in (*(order[count:] for count in taken), *(order[:count] for count in taken))
    ]
    logits = torch.from_numpy(logits_of_variants(head, bags, variants)[:, 0])  # (V,)
    scores: NDArray[np.float64] = probabilities(logits, head.outputs).numpy()
    return scores.reshape(len(orders), 2, len(SHARES))
