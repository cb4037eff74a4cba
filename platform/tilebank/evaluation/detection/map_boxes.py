"""Find boxes in an attention map, and the place where it is highest.

A map is a hilly land: each hill that stands by itself becomes one box. The box of a hill encloses what rises to half of
the hill's own height (its full width at half maximum), and its score is the map at its top. So

- how far a box reaches does not depend on another, higher hill in the image, as a threshold on the whole map would;
- scores are in the map's own unit: nothing is rescaled image by image, which would give every image, also a healthy
  one, a box of the top score. They compare between images as far as the map's values do;
- a large box is worth no more than a small one. A sum over the box, as published, ranks by area.

Heights are measured from a floor, the median of the map inside the breast. A hill that joins a higher one above half of
its own height is a shoulder of that one, and has no box.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from tilebank.errors import ConfigError, DatasetError
from tilebank.evaluation.detection.box_overlap import Corners, suppress
from tilebank.terms import ScoredBox, TileBox

Map: TypeAlias = NDArray[np.floating[Any]]  # (rows, columns)
Mask: TypeAlias = NDArray[np.bool_]  # (rows, columns)


@dataclass(frozen=True)
class BoxConfig:
    """How boxes are taken from a map. Raises ConfigError.

    peak_share: a box encloses what rises to this share of its hill's height; half is the usual width of a peak.
    lowest_share: a hill below this share of the image's highest one gets no box.
    levels: heights at which the map is cut to find the hills, each lower than the last by the same factor. A hill is
    measured at the first level at or below `peak_share` of its height; more levels come closer to just that.
    working_px: longer side of the map while it is cut, by means over the breast's pixels; corners are as fine as that.
    min_area_px: a hill that covers fewer source pixels is dropped.
    nms_iou: of two boxes that overlap by more, the higher stays. max_boxes: so many of the highest are kept.
    """

    peak_share: float = 0.5
    lowest_share: float = 0.1
    levels: int = 16
    working_px: int = 512
    min_area_px: int = 1024
    nms_iou: float = 0.25
    max_boxes: int = 20

    def __post_init__(self) -> None:
        if not 0 < self.peak_share < 1 or not 0 < self.lowest_share < 1:
            raise ConfigError(
                f"boxes: peak_share {self.peak_share} and lowest_share {self.lowest_share} must lie between 0 and 1"
            )
        if self.levels < 2 or min(self.working_px, self.min_area_px, self.max_boxes) < 1:
            raise ConfigError(
                f"boxes: levels {self.levels} are 2 or more; working_px {self.working_px}, min_area_px"
                f" {self.min_area_px} and max_boxes {self.max_boxes} are 1 or more"
            )
        if not 0 <= self.nms_iou <= 1:
            raise ConfigError(f"boxes: nms_iou is {self.nms_iou}; pass 0 to 1")


def find_boxes(heights: Map, breast: Mask, config: BoxConfig) -> list[ScoredBox]:
    """The boxes of a map (rows, columns) inside the breast's mask, highest score first; none of a flat or empty one.

    Equal scores go by place, top to bottom, then left to right. Raises DatasetError where the shapes differ or the map
    is no number inside the breast.
    """
    _assert_map(heights, breast)
    if not breast.any():
        return []
    small, within = _working(heights, breast, working_px=config.working_px)
    floor = float(np.median(small[within]))
    top = float(small[within].max()) - floor
    if top <= 0:
        return []
    scale = heights.shape[0] / small.shape[0], heights.shape[1] / small.shape[1]
    corners, scores = _hills(np.where(within, small - floor, 0), config, top=top, scale=scale)
    order = np.lexsort((corners[:, 0], corners[:, 1], -scores))
    corners, scores = corners[order], scores[order]
    kept = suppress(corners, iou=config.nms_iou)[: config.max_boxes]
    return [ScoredBox(_box(corners[place]), float(scores[place]) + floor) for place in kept]


def find_peak(heights: Map, breast: Mask) -> tuple[int, int] | None:
    """Where the map is highest inside the breast: x, y in source pixels; None where there is no breast.

    Of a plateau it is the pixel nearest to the plateau's mean place, of equally near ones the topmost, then leftmost: a
    corner would tell more of the scan's order than of the map.
    """
    _assert_map(heights, breast)
    if not breast.any():
        return None
    places = np.argwhere(breast & (heights == heights[breast].max()))  # (n, 2) y, x, in the scan's order
    y, x = places[np.argmin(((places - places.mean(axis=0)) ** 2).sum(axis=1))]
    return int(x), int(y)


def _assert_map(heights: Map, breast: Mask) -> None:
    if heights.ndim != 2 or heights.shape != breast.shape:
        raise DatasetError(f"a map of shape {heights.shape} and a mask of {breast.shape}; pass both of one image")
    broken = int(np.count_nonzero(~np.isfinite(heights[breast])))
    if broken:
        raise DatasetError(f"the map is not a number in {broken} pixels of the breast; compute it again")


def _working(heights: Map, breast: Mask, *, working_px: int) -> tuple[NDArray[np.float64], Mask]:
    """Means over the breast's pixels at the working size, and where there are any."""
    longer = max(heights.shape)
    if longer <= working_px:
        return heights.astype(np.float64), breast
    rows, columns = (max(1, round(side * working_px / longer)) for side in heights.shape)
    share, summed = (
        cv2.resize(plane, (columns, rows), interpolation=cv2.INTER_AREA).astype(np.float64)
        for plane in (breast.astype(np.float32), np.where(breast, heights, 0).astype(np.float32))
    )
    within = share > 0
    return np.divide(summed, share, out=np.zeros(share.shape), where=within), within


def _hills(
    heights: NDArray[np.float64], config: BoxConfig, *, top: float, scale: tuple[float, float]
) -> tuple[Corners, NDArray[np.float64]]:
    """Corners in source pixels (N, 4) and tops above the floor (N,) of the hills, in no order."""
    found, tops = [np.zeros((0, 4), dtype=np.int64)], [np.zeros(0)]
    above = np.inf
    for level in top * config.peak_share * np.geomspace(1, config.lowest_share, config.levels):
        high = heights >= level
        count, pieces, stats, _ = cv2.connectedComponentsWithStats(high.astype(np.uint8), connectivity=4)
        highest = np.zeros(count)
        np.maximum.at(highest, pieces[high], heights[high])
        peaks = highest[1:]  # the first piece is all that lies lower
        reached = config.peak_share * peaks
        large = stats[1:, cv2.CC_STAT_AREA] * scale[0] * scale[1] >= config.min_area_px
        taken = (level <= reached) & (reached < above) & large  # so each hill is taken at exactly one level
        found.append(_source_corners(stats[1:][taken], scale))
        tops.append(peaks[taken])
        above = level
    return np.concatenate(found), np.concatenate(tops)


def _source_corners(stats: NDArray[np.int32], scale: tuple[float, float]) -> Corners:
    left, top, width, height = stats[:, :4].T.astype(np.float64)
    rows, columns = scale
    low = np.floor(np.stack([left * columns, top * rows], axis=1))
    high = np.ceil(np.stack([(left + width) * columns, (top + height) * rows], axis=1) - 1e-9)
    return np.concatenate([low, high], axis=1).astype(np.int64)


def _box(corners: NDArray[np.int64]) -> TileBox:
    left, top, right, bottom = corners.tolist()
    return TileBox(left, top, right - left, bottom - top)
