"""Random ragged bags with a learnable signal, for timings of heads."""

import numpy as np
from numpy.typing import NDArray

from tilebank.bench.parts import BenchSizes
from tilebank.mil.bags.bags import BagBatch

VIEWS_A_BREAST = 2
VAL_SHARE = 1 / 7  # of the breasts that are fitted: 10 % against 70 %
SHIFT = 4.0  # of a positive breast's findings, in standard deviations along one direction
FINDINGS = 2  # tiles of a positive breast that are shifted
CHUNK_ROWS = 65_536


def random_splits(sizes: BenchSizes) -> tuple[BagBatch, BagBatch]:
    """Train and validation bags from the same distribution."""
    rng = np.random.default_rng(sizes.dim)
    return (
        _random_bags(rng, breasts=sizes.breasts, tiles=sizes.tiles_a_breast, dim=sizes.dim),
        _random_bags(rng, breasts=max(2, round(sizes.breasts * VAL_SHARE)), tiles=sizes.tiles_a_breast, dim=sizes.dim),
    )


def _random_bags(rng: np.random.Generator, *, breasts: int, tiles: int, dim: int) -> BagBatch:
    """Ragged breasts of half to one and a half times `tiles`, two views each, both labels.

    The first tiles of a positive breast are shifted along the first axis, so that a head can learn it.
    """
    view_offsets = np.arange(0, VIEWS_A_BREAST * breasts + 1, VIEWS_A_BREAST)
    spread = tiles // 2  # sizes come in pairs mirrored about the mean, so that the total is exact
    sizes = np.full(breasts, tiles)
    drawn = rng.integers(0, spread + 1, breasts // 2)
    sizes[: 2 * len(drawn) : 2] += drawn
    sizes[1 : 2 * len(drawn) : 2] -= drawn
    tile_offsets = np.concatenate([[0], np.cumsum(sizes)])
    tile_features = _random_vectors(rng, rows=int(tile_offsets[-1]), dim=dim)
    labels = np.arange(breasts) % 3 == 0
    for first, count in zip(tile_offsets[:-1][labels], sizes[labels], strict=True):
        tile_features[first : first + min(FINDINGS, count), 0] += np.float16(SHIFT)
    return BagBatch.from_arrays(
        view_features=_random_vectors(rng, rows=int(view_offsets[-1]), dim=dim),
        view_offsets=view_offsets,
        tile_features=tile_features,
        tile_offsets=tile_offsets,
        breast_ids=[f"breast-{place}" for place in range(breasts)],
        labels=labels.astype(np.int64),
    )


def _random_vectors(rng: np.random.Generator, *, rows: int, dim: int) -> NDArray[np.float16]:
    """Standard normal (rows, D), made in chunks to avoid a float32 copy of the whole."""
    vectors = np.empty((rows, dim), np.float16)
    for start in range(0, rows, CHUNK_ROWS):
        part = vectors[start : start + CHUNK_ROWS]
        part[:] = rng.standard_normal(part.shape, dtype=np.float32)
    return vectors
