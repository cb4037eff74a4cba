"""Assemble tile values into a map on the source's pixels.

A map is float32 (rows, columns), zero outside the breast. Boxes are source pixels, so mirrored tiles need no undoing.
Raw values and those normalised to 0..1 are kept apart: the first can be compared between images, the second say no
more than where in this image.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]
Mask = NDArray[np.bool_]

FINEST_SIGMA = 4.0  # a Gaussian is sampled at this many points to its deviation, or at every pixel
FLAT = 1e-6  # a range below this share of the largest value is rounding: the map says nothing
LEAST_SHARE = 1e-3  # of the mean tile's value: smaller ones are raised to it where a mean would follow the smallest

Values = NDArray[np.float64]
Mean = Literal["arithmetic", "geometric", "harmonic"]
# What is averaged in place of a value, and the way back.
MEANS: dict[Mean, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "arithmetic": (np.positive, np.positive),
    "geometric": (np.log, np.exp),
    "harmonic": (np.reciprocal, np.reciprocal),
}


@dataclass(frozen=True)
class MapConfig:
    """How a map is drawn from tiles.

    mean: of the tiles that hold a pixel. A lesion is in every tile that holds it, and a pixel beside it also in tiles
    that miss it: the geometric mean, and more so the harmonic, asks all tiles to agree, and so is finer than a tile
    where they overlap; the arithmetic one, as published, spreads each over its whole square. To the finer two
    less than a thousandth of the mean tile's value is as good as nothing.
    smoothing_px: standard deviation of a Gaussian in source pixels; 0 is none.
    shrinkage: how far the mean of few tiles is drawn to the map's own, as if so many more said that: a share of the
    most tiles that hold a pixel. Near an edge few overlap, and what one tile holds is as strong there as where it lies:
    with 0, the plain mean, a peak within a tile of the edge moves to the edge. 1 leaves it in its place.
    """

    smoothing_px: float = 0.0
    shrinkage: float = 0.0
    mean: Mean = "arithmetic"

    def __post_init__(self) -> None:
        for name, value in (("smoothing_px", self.smoothing_px), ("shrinkage", self.shrinkage)):
            if not 0 <= value < np.inf:
                raise ValueError(f"{name} is {value}; it must be 0 or above")


def assemble_map(
    boxes: NDArray[np.integer[Any]],
    values: NDArray[np.floating[Any]],
    *,
    breast: Mask,
    config: MapConfig = MapConfig(),
) -> Map:
    """The mean, at each breast pixel, of the values of the tiles that contain it.

    boxes: (n, 4) x, y, width, height in source pixels, which may reach past the image; values: (n,).
    Breast that no tile holds takes the least value of the rest, so that it stands out nowhere.
    Raises ValueError for shapes that do not fit, values that are not finite, and boxes that all miss the breast.
    """
    if boxes.ndim != 2 or boxes.shape[1] != 4 or values.shape != (len(boxes),):
        raise ValueError(f"boxes {boxes.shape} and values {values.shape}: pass (n, 4) and (n,)")
    if not np.isfinite(values).all():
        raise ValueError(f"{np.count_nonzero(~np.isfinite(values))} of {values.size} tile values are not finite")
    forth, back = MEANS[config.mean]
    each = forth(values if config.mean == "arithmetic" else _above_zero(values))
    sums, counts = (_add_boxes(boxes, weights, shape=breast.shape) for weights in (each, np.ones(len(boxes))))
    covered = breast & (counts > 0.5)  # counts are whole
    if not covered.any():
        raise ValueError(f"none of {len(boxes)} boxes contains any of the breast; do they belong to another image?")
    sums, counts = sums[covered], counts[covered]
    if config.shrinkage:
        more = config.shrinkage * float(counts.max())
        sums, counts = sums + more * float((sums / counts).mean()), counts + more
    raw = np.zeros(breast.shape, dtype=np.float32)
    raw[covered] = back(sums / counts)
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


def _above_zero(values: NDArray[np.floating[Any]]) -> Values:
    """`values`, the least and all below 0 lifted: one tile of nothing does not empty all that it holds."""
    least = max(LEAST_SHARE * float(values.clip(0).mean()), float(np.finfo(np.float32).tiny))
    return np.asarray(np.maximum(values, least), dtype=np.float64)


def _add_boxes(
    boxes: NDArray[np.integer[Any]], values: NDArray[np.floating[Any]], *, shape: tuple[int, ...]
) -> NDArray[np.float64]:
    """The sum, at each pixel, of the values of the boxes that hold it: corners are marked once and summed both ways."""
    rows, columns = shape
    x, y, width, height = boxes.astype(np.int64).T
    left, right = (np.clip(edge, 0, columns) for edge in (x, x + width))
    top, bottom = (np.clip(edge, 0, rows) for edge in (y, y + height))
    wide = columns + 1
    corners = np.concatenate([top * wide + left, bottom * wide + right, top * wide + right, bottom * wide + left])
    signed = np.concatenate([values, values, -values, -values]).astype(np.float64)
    steps = np.bincount(corners, weights=signed, minlength=(rows + 1) * wide).reshape(rows + 1, wide)
    np.cumsum(steps, axis=0, out=steps)
    np.cumsum(steps, axis=1, out=steps)
    return np.asarray(steps[:rows, :columns], dtype=np.float64)


def _smooth(raw: Map, inside: Mask, *, sigma_px: float) -> Map:
    """A Gaussian mean over pixels `inside` only (normalised convolution, Knutsson & Westin 1993).

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
