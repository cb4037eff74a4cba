"""Bags that test whether a head respects the assumption of multiple-instance learning.

Raff and Holt (NeurIPS 2023, arXiv 2310.17867): a bag is positive because of what it contains. Each problem can be
solved that way, but also offers a shortcut that holds in training and is reversed in the test:
    single_concept: 1 to 3 positive instances, each from N(1, 1) or N(0, 9), make a bag positive. In training every
        negative bag, in the test every positive one, has an instance at -10, whose absence should not matter.
    multi_concept: only instances of both concepts, 1 to 3 pairs from N(2, 0.01) and N(3, 0.01), make a bag positive; a
        negative bag has one instance of one of them. The same instance at -10.
    false_frequency: both concepts, one instance each, make a bag positive. Negative bags hold only one of them: one
        instance in training, 35 to 44 in the test. The number of occurrences should not matter.
A head that takes the shortcut has a high AUC on bags like those of training, and one below 0.5 in the test. The
distributions are those of torchmil's version of the paper's three algorithms, in 16 dimensions with all others N(0, 1);
a negative bag of false_frequency has either concept, where that version uses only the first.
B breast, N instance, D dimension.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tilebank.mil.bags.bags import BagBatch

DIM = 16
_NEGATIVES = 10  # instances per bag of single_concept; the other problems sample 1 to 9
_SHORTCUT = (-10.0, 0.1)
_BOTH = ((2.0, 0.1), (3.0, 0.1))

Bag = list[NDArray[np.float64]]


class Problem(Protocol):
    """Samples the instances of one bag."""

    def __call__(self, rng: np.random.Generator, *, positive: bool, shortcut_reversed: bool) -> Bag:
        """Arrays (n, D), to be concatenated."""
        ...


def _normal(rng: np.random.Generator, mean: float, spread: float, *, rows: int) -> NDArray[np.float64]:
    return rng.normal(mean, spread, (rows, DIM))


def _single_concept(rng: np.random.Generator, *, positive: bool, shortcut_reversed: bool) -> Bag:
    bag = [_normal(rng, 0.0, 1.0, rows=_NEGATIVES)]
    if positive:
        kinds = ((0.0, 3.0), (1.0, 1.0))
        bag += [_normal(rng, *kinds[rng.integers(2)], rows=1) for _ in range(rng.integers(1, 4))]
    return [*bag, *_shortcut(rng, positive=positive, shortcut_reversed=shortcut_reversed)]


def _multi_concept(rng: np.random.Generator, *, positive: bool, shortcut_reversed: bool) -> Bag:
    bag = [_normal(rng, 0.0, 1.0, rows=int(rng.integers(1, 10)))]
    if positive:
        pairs = int(rng.integers(1, 4))
        bag += [_normal(rng, *concept, rows=pairs) for concept in _BOTH]
    else:
        bag.append(_normal(rng, *_BOTH[rng.integers(2)], rows=1))
    return [*bag, *_shortcut(rng, positive=positive, shortcut_reversed=shortcut_reversed)]


def _false_frequency(rng: np.random.Generator, *, positive: bool, shortcut_reversed: bool) -> Bag:
    bag = [_normal(rng, 0.0, 1.0, rows=int(rng.integers(1, 10)))]
    if positive:
        return bag + [_normal(rng, *concept, rows=1) for concept in _BOTH]
    return [*bag, _normal(rng, *_BOTH[rng.integers(2)], rows=int(rng.integers(35, 45)) if shortcut_reversed else 1)]


def _shortcut(rng: np.random.Generator, *, positive: bool, shortcut_reversed: bool) -> Bag:
    return [_normal(rng, *_SHORTCUT, rows=1)] if positive == shortcut_reversed else []


PROBLEMS: dict[str, Problem] = {
    "single_concept": _single_concept,
    "multi_concept": _multi_concept,
    "false_frequency": _false_frequency,
}


def draw_bags(problem: str, *, breasts: int, seed: int, shortcut_reversed: bool) -> BagBatch:
    """Bags of tiles, half of them positive; `shortcut_reversed`: the shortcut as in the test, opposite to training."""
    rng = np.random.default_rng(seed)
    labels = np.arange(breasts) % 2
    bags = [
        np.concatenate(PROBLEMS[problem](rng, positive=bool(label), shortcut_reversed=shortcut_reversed))
        for label in labels
    ]
    return BagBatch.from_arrays(
        view_features=np.zeros((0, DIM), dtype=np.float32),
        view_offsets=np.zeros(breasts + 1, dtype=np.int64),
        tile_features=np.concatenate(bags).astype(np.float32),
        tile_offsets=np.cumsum([0, *map(len, bags)]),
        breast_ids=[f"{problem}-{place}" for place in range(breasts)],
        labels=labels,
    )
