"""Stored images built by hand, for tests that need no file."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from tests.headers import HEADER

from tilebank.imaging.intensity import IntensityRules, StoredImage

RULES = IntensityRules(
    slope=1.0,
    intercept=0.0,
    modality_lut=None,
    voi_lut=None,
    windows=((2048.0, 4096.0),),
    function="LINEAR",
    inverted=False,
    bits_stored=12,
    signed=False,
)


def stored_image(
    stored: NDArray[np.integer], *, padding: NDArray[np.bool_] | None = None, **rules: object
) -> StoredImage:
    """`stored` (rows, columns) under RULES, with the rules that are named in their place."""
    return StoredImage(HEADER, np.asarray(stored, dtype=np.int32), padding, replace(RULES, **rules))


def breast_of(
    low: int, high: int, *, air: int, rows: int = 256, columns: int = 192, right: bool = False
) -> NDArray[np.uint16]:
    """A half disc against the left (or right) edge whose values rise from `low` to `high`; a twentieth holds each end.

    The values rise from the nipple to the chest wall, so that air and the darkest tissue lie side by side.
    """
    y, x = np.mgrid[:rows, :columns]
    inside = (x / (0.7 * columns)) ** 2 + ((y - rows / 2) / (0.42 * rows)) ** 2 <= 1
    rank = np.empty(inside.sum())
    rank[np.argsort(-x[inside], kind="stable")] = np.linspace(0, 1, rank.size)
    stored = np.full((rows, columns), air, dtype=np.uint16)
    stored[inside] = np.rint(low + (high - low) * np.clip((rank - 0.05) / 0.9, 0, 1))
    return np.ascontiguousarray(stored[:, ::-1]) if right else stored
