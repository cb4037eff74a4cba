"""Bags that tell whether a head keeps the assumption of multiple-instance learning. Knows no heads and no fitting.

Raff and Holt (NeurIPS 2023, arXiv 2310.17867): a bag is positive because of what is in it. Each problem can be solved
that way, and offers a short cut which holds in fitting and is turned about in the test:
    single_concept: 1 to 3 positive instances, each from N(1, 1) or N(0, 9), make a bag positive. In fitting every
        negative bag, in the test every positive one, has an instance at -10: its absence is no reason.
    multi_concept: only instances of both concepts, 1 to 3 pairs from N(2, 0.01) and N(3, 0.01), make a bag positive; a
        negative bag has one instance of one of them. The same instance at -10.
    false_frequency: both concepts, one instance each, make a bag positive. Negative bags hold one of them alone: one
        instance in fitting, 35 to 44 in the test. How often it occurs is no reason.
A head that takes the short cut has a high AUC where it was fitted and one below a half in the test. Distributions are
those of torchmil's version of the paper's three algorithms, in 16 dimensions with all others N(0, 1); a negative bag of
false_frequency has either concept, where that version draws the first alone. B breast, N instance, D dimension.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tilebank.mil.bags.bags import BagBatch

DIM = 16
_NEGATIVES = 10  # of a bag of single_concept; the other problems draw 1 to 9
_POISON = (-10.0, 0.1)
_BOTH = ((2.0, 0.1), (3.0, 0.1))

Bag = list[NDArray[np.float64]]


class Problem(Protocol):
    """Draws the instances of one bag."""

    def __call__(self, rng: np.random.Generator, *, positive: bool, turned: bool) -> Bag:
        """(n, D) in one part or more."""
        ...


def _normal(rng: np.random.Generator, mean: float, spread: float, *, rows: int) -> NDArray[np.float64]:
    return rng.normal(mean, spread, (rows, DIM))


def _single_concept(rng: np.random.Generator, *, positive: bool, turned: bool) -> Bag:
    bag = [_normal(rng, 0.0, 1.0, rows=_NEGATIVES)]
    if positive:
        kinds = ((0.0, 3.0), (1.0, 1.0))
        bag += [_normal(rng, *kinds[rng.integers(2)], rows=1) for _ in range(rng.integers(1, 4))]
    return [*bag, *_poison(rng, positive=positive, turned=turned)]


def _multi_concept(rng: np.random.Generator, *, positive: bool, turned: bool) -> Bag:
    bag = [_normal(rng, 0.0, 1.0, rows=int(rng.integers(1, 10)))]
    if positive:
        pairs = int(rng.integers(1, 4))
        bag += [_normal(rng, *concept, rows=pairs) for concept in _BOTH]
    else:
        bag.append(_normal(rng, *_BOTH[rng.integers(2)], rows=1))
    return [*bag, *_poison(rng, positive=positive, turned=turned)]


def _false_frequency(rng: np.random.Generator, *, positive: bool, turned: bool) -> Bag:
    bag = [_normal(rng, 0.0, 1.0, rows=int(rng.integers(1, 10)))]
    if positive:
        return bag + [_normal(rng, *concept, rows=1) for concept in _BOTH]
    return [*bag, _normal(rng, *_BOTH[rng.integers(2)], rows=int(rng.integers(35, 45)) if turned else 1)]


def _poison(rng: np.random.Generator, *, positive: bool, turned: bool) -> Bag:
    return [_normal(rng, *_POISON, rows=1)] if positive == turned else []


PROBLEMS: dict[str, Problem] = {
    "single_concept": _single_concept,
    "multi_concept": _multi_concept,
    "false_frequency": _false_frequency,
}


def draw_bags(problem: str, *, breasts: int, seed: int, turned: bool) -> BagBatch:
    """Bags of tiles alone, half of them positive; `turned` as in the test, where the short cut leads astray."""
    rng = np.random.default_rng(seed)
    labels = np.arange(breasts) % 2
    bags = [np.concatenate(PROBLEMS[problem](rng, positive=bool(label), turned=turned)) for label in labels]
    return BagBatch.from_arrays(
        view_features=np.zeros((0, DIM), dtype=np.float32),
        view_offsets=np.zeros(breasts + 1, dtype=np.int64),
        tile_features=np.concatenate(bags).astype(np.float32),
        tile_offsets=np.cumsum([0, *map(len, bags)]),
        breast_ids=[f"{problem}-{place}" for place in range(breasts)],
        labels=labels,
    )
