"""Compute overlaps of boxes, and suppress boxes that overlap a better one.

A box covers the pixels from its left and top up to, and without, its right and bottom: areas are width x height, with
no pixel added. Shapes: N and M boxes; corners (N, 4) are left, top, right, bottom.
"""

from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tilebank.terms import TileBox

Corners: TypeAlias = NDArray[np.int64]
REACH_PX = 100  # source pixels


def corners_of(boxes: Iterable[TileBox]) -> Corners:
    """The corners of boxes, also of none: (N, 4)."""
    rows = [(box.x, box.y, box.x + box.width, box.y + box.height) for box in boxes]
    return np.asarray(rows, dtype=np.int64).reshape(-1, 4)


def areas_of(corners: Corners) -> Corners:
    """Pixels in each box: (N,)."""
    return np.asarray((corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1]))


def intersections(first: Corners, second: Corners) -> Corners:
    """Pixels that each pair of boxes shares: (N, M)."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    return np.asarray(np.maximum(high - low, 0).prod(axis=2))


def iou_of(first: Corners, second: Corners) -> NDArray[np.float64]:
    """Intersection over union of each pair (N, M), the Jaccard index; 0 where neither box has a pixel."""
    shared = intersections(first, second)
    union = areas_of(first)[:, None] + areas_of(second)[None, :] - shared
    return np.asarray(np.divide(shared, union, out=np.zeros(shared.shape), where=union > 0))


def centres_in(first: Corners, second: Corners) -> NDArray[np.bool_]:
    """Whether the centre of each first box lies in each second one: (N, M)."""
    twice = first[:, None, :2] + first[:, None, 2:]
    return np.asarray(((twice >= 2 * second[None, :, :2]) & (twice < 2 * second[None, :, 2:])).all(axis=2))


def centres_near(first: Corners, second: Corners) -> NDArray[np.bool_]:
    """Whether the centre of each first box lies near that of each second one: (N, M).

    Less than half the second's diagonal away, or less than REACH_PX: the rule of the DBTex challenge (Konz et al., JAMA
    Network Open 6(2):e230524, 2023).
    """
    twice = (first[:, None, :2] + first[:, None, 2:]) - (second[None, :, :2] + second[None, :, 2:])
    diagonals = np.hypot(*(second[:, 2:] - second[:, :2]).T)  # (M,)
    return np.asarray(np.hypot(twice[..., 0], twice[..., 1]) < np.maximum(diagonals, 2 * REACH_PX))


def suppress(corners: Corners, *, iou: float) -> list[int]:
    """Which boxes stay, of boxes in order of rank: each that overlaps no better one that stayed by more than `iou`.

    Greedy non-maximum suppression; boxes that overlap by just `iou` both stay, as in torchvision.
    """
    overlaps = iou_of(corners, corners) > iou  # (N, N)
    kept: list[int] = []
    for place in range(len(corners)):
        if not overlaps[place, kept].any():
            kept.append(place)
    return kept
