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

from tilebank.mil.bags import BagBatch
from tilebank.mil.contract import Head
from tilebank.mil.outputs import probabilities
from tilebank.mil.variants import Variant, logits_of_variants

SHARES = np.linspace(0, 1, 11)  # of the tiles, taken away or brought in


@dataclass(frozen=True, eq=False)
class ScoreCurves:
    """Scores (B, F) as the share of tiles that is taken away (`deletion`) or there at all (`insertion`) grows.

    `..._at_random`: tiles taken in random orders, the mean of several. shares: (F,) from 0 to 1.
    """

    shares: NDArray[np.float64]
    deletion: NDArray[np.float64]
    insertion: NDArray[np.float64]
    deletion_at_random: NDArray[np.float64]
    insertion_at_random: NDArray[np.float64]
    breast_ids: tuple[str, ...]


def score_curves(
    head: Head, bags: BagBatch, values: NDArray[np.float64], *, draws: int = 5, seed: int, answer: int = 0
) -> ScoreCurves:
    """Curves of every breast with tiles, in the order of `values` (Nt,), the highest first, and in `draws` random ones.

    Views stay. A random order is drawn from the seed and the breast's id: it does not depend on the breasts beside it.
    """
    offsets = bags.tile_offsets.cpu().numpy()
    breasts = [place for place in range(len(bags)) if offsets[place + 1] > offsets[place]]
    found = []
    for place in breasts:
        ranked = np.argsort(-values[offsets[place] : offsets[place + 1]], kind="stable")
        orders = [ranked, *_random_orders(bags.breast_ids[place], n=len(ranked), draws=draws, seed=seed)]
        found.append(_scores(head, bags, place, orders, start=int(offsets[place]), answer=answer))
    curves = np.stack(found) if found else np.empty((0, 1 + draws, 2, len(SHARES)))  # (B, order, 2, F)
    return ScoreCurves(
        shares=SHARES,
        deletion=curves[:, 0, 0],
        insertion=curves[:, 0, 1],
        deletion_at_random=curves[:, 1:, 0].mean(axis=1),
        insertion_at_random=curves[:, 1:, 1].mean(axis=1),
        breast_ids=tuple(bags.breast_ids[place] for place in breasts),
    )


def _random_orders(breast_id: str, *, n: int, draws: int, seed: int) -> Iterator[NDArray[np.int64]]:
    generator = np.random.default_rng([seed, *breast_id.encode()])
    for _ in range(draws):
        yield generator.permutation(n)


def _scores(
    head: Head, bags: BagBatch, place: int, orders: Sequence[NDArray[np.int64]], *, start: int, answer: int
) -> NDArray[np.float64]:
    """Scores of one breast by order, by deletion and insertion, by share: (orders, 2, F)."""
    taken = np.floor(SHARES * len(orders[0]) + 0.5).astype(np.int64)  # (F,)
    variants = [
        Variant(place, start + np.sort(kept))
        for order in orders
        for kept in (*(order[count:] for count in taken), *(order[:count] for count in taken))
    ]
    logits = torch.from_numpy(logits_of_variants(head, bags, variants))  # (V, C)
    scores = probabilities(logits if head.outputs.kind != "binary" else logits[:, 0], head.outputs)
    numbers: NDArray[np.float64] = scores.reshape(len(variants), -1)[:, answer].numpy()
    return numbers.reshape(len(orders), 2, len(SHARES))
