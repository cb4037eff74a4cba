"""Values of tiles become a map on the source's pixels. Works on arrays; knows nothing of heads, DICOM or colours.

A map is float32 (rows, columns), zero outside the breast. Boxes are source pixels, so mirrored tiles need no undoing;
only cells within a tile do. Raw values and those normalised to 0..1 are kept apart: the first can be compared between
images, the second say no more than where in this image.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]
Mask = NDArray[np.bool_]

FINEST_SIGMA = 4.0  # a Gaussian is sampled at this many points to its deviation, or at every pixel
FLAT = 1e-6  # a range below this share of the largest value is rounding: the map says nothing


@dataclass(frozen=True)
class MapConfig:
    """How a map is drawn from tiles. smoothing_px: standard deviation of a Gaussian in source pixels; 0 is none."""

    smoothing_px: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.smoothing_px < np.inf:
            raise ValueError(f"smoothing_px is {self.smoothing_px}: it is a number of pixels, 0 or above")


def assemble_map(
    boxes: NDArray[np.integer[Any]],
    values: NDArray[np.floating[Any]],
    *,
    breast: Mask,
    flipped: bool = False,
    config: MapConfig = MapConfig(),
) -> Map:
    """The mean, at each breast pixel, of the values of the tiles that hold it.

    boxes: (n, 4) x, y, width, height in source pixels, which may reach past the image; values: (n,), or (n, g, g) where
    a tile has g x g cells (rows, columns) of its own, `flipped` where the tiles were mirrored before they were encoded.
    Breast that no tile holds takes the least value of the rest, so that it stands out nowhere.
    Raises ValueError for shapes that do not fit, values that are not finite, and boxes that all miss the breast.
    """
    places, each = _cells(np.asarray(boxes), np.asarray(values, dtype=np.float64), flipped=flipped)
    if not np.isfinite(each).all():
        raise ValueError(f"{np.count_nonzero(~np.isfinite(each))} of {each.size} tile values are not finite")
    sums, counts = (_add_boxes(places, weights, shape=breast.shape) for weights in (each, np.ones_like(each)))
    covered = breast & (counts > 0.5)  # counts are whole
    if not covered.any():
        raise ValueError(f"none of {len(boxes)} boxes holds any of the breast: they belong to another image")
    raw = np.zeros(breast.shape, dtype=np.float32)
    np.divide(sums, counts, out=raw, where=covered, casting="same_kind")
    if config.smoothing_px:
        raw = _smooth(raw, covered, sigma_px=config.smoothing_px)
    raw[breast & ~covered] = raw[covered].min()
    return raw


def normalise_map(raw: Map, breast: Mask) -> Map:
    """`raw` with its range inside the breast brought to 0..1; zero outside, and everywhere where it has no range."""
    low, high = (float(end) for end in (raw[breast].min(), raw[breast].max()))
    if high - low <= FLAT * max(abs(low), abs(high)):
        return np.zeros_like(raw)
    unit = np.clip((raw - np.float32(low)) / np.float32(high - low), 0, 1)
    return np.where(breast, unit, np.float32(0))


def combine_maps(maps: Sequence[Map], breast: Mask, *, weights: Sequence[float] | None = None) -> Map:
    """One normalised map of several of one image, as of several tile sizes: the mean of what each says, normalised.

    Each is normalised first, for raw attention falls as a size has more tiles; weights: of each map, alike if None.
    """
    shares = np.ones(len(maps)) if weights is None else np.asarray(weights, dtype=np.float64)
    if not len(maps) or shares.shape != (len(maps),) or shares.min() < 0 or shares.sum() <= 0:
        raise ValueError(f"{len(maps)} maps with weights {weights}: give one weight a map, none below 0, not all 0")
    total = np.zeros(breast.shape, dtype=np.float32)
    for share, each in zip(shares / shares.sum(), maps, strict=True):
        total += np.float32(share) * normalise_map(each, breast)
    return normalise_map(total, breast)


def _cells(
    boxes: NDArray[np.integer[Any]], values: NDArray[np.float64], *, flipped: bool
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Edges (m, 4) left, top, right, bottom of every cell, and its value (m,); a tile without cells is one."""
    if boxes.ndim != 2 or boxes.shape[1] != 4 or len(boxes) != len(values) or values.ndim not in (1, 3):
        raise ValueError(f"boxes {boxes.shape} and values {values.shape}: (n, 4) and (n,) or (n, g, g) are asked for")
    cells = (
        values[:, None, None] if values.ndim == 1 else values[:, :, ::-1] if flipped else values
    )  # (n, down, across)
    n, down, across = cells.shape
    x, y, width, height = boxes.astype(np.int64).T[:, :, None]  # each (n, 1)
    xs = x + width * np.arange(across + 1) // across  # (n, across + 1)
    ys = y + height * np.arange(down + 1) // down
    edges = [xs[:, None, :-1], ys[:, :-1, None], xs[:, None, 1:], ys[:, 1:, None]]
    whole = [np.broadcast_to(edge, (n, down, across)).reshape(-1) for edge in edges]
    return np.stack(whole, axis=1), np.ascontiguousarray(cells).reshape(-1)


def _add_boxes(edges: NDArray[np.int64], values: NDArray[np.float64], *, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """The sum, at each pixel, of the values of the boxes that hold it: corners are marked once and summed both ways."""
    rows, columns = shape
    left, right = (np.clip(edges[:, at], 0, columns) for at in (0, 2))
    top, bottom = (np.clip(edges[:, at], 0, rows) for at in (1, 3))
    wide = columns + 1
    corners = np.concatenate([top * wide + left, bottom * wide + right, top * wide + right, bottom * wide + left])
    signed = np.concatenate([values, values, -values, -values])
    steps = np.bincount(corners, weights=signed, minlength=(rows + 1) * wide).reshape(rows + 1, wide)
    np.cumsum(steps, axis=0, out=steps)
    np.cumsum(steps, axis=1, out=steps)
    return np.asarray(steps[:rows, :columns], dtype=np.float64)


def _smooth(raw: Map, inside: Mask, *, sigma_px: float) -> Map:
    """A Gaussian mean over what is `inside` alone (normalised convolution, Knutsson & Westin 1993): nothing bleeds in.

    A wide Gaussian is taken on block means, which changes it by less than the blocks' own width.
    """
    step = max(1, int(sigma_px / FINEST_SIGMA))
    rows, columns = raw.shape
    bottom, right = -rows % step, -columns % step
    sigma = sigma_px / step

    def spread(values: NDArray[np.float32]) -> NDArray[np.float32]:
        whole = cv2.copyMakeBorder(values, 0, bottom, 0, right, cv2.BORDER_CONSTANT, value=0.0)
        size = (whole.shape[1] // step, whole.shape[0] // step)
        small = cv2.resize(whole, size, interpolation=cv2.INTER_AREA)
        soft = cv2.GaussianBlur(small, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
        large = cv2.resize(soft, (whole.shape[1], whole.shape[0]), interpolation=cv2.INTER_LINEAR)
        return np.asarray(large[:rows, :columns], dtype=np.float32)

    weight = spread(inside.astype(np.float32))
    smooth = np.zeros_like(raw)
    np.divide(spread(raw), weight, out=smooth, where=inside)
    return smooth
