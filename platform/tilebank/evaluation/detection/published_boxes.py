"""Find boxes in attention maps by the published recipe of FPN-MIL; use it only to compare with its tables.

Follows MIL/roi_eval.py of marianamourao-37/Multi-scale-Attention-based-MIL (MICCAI 2025) at 38bdf24, from a map on; how
it lays a map out of its own model's cells is not here. Its sizes are in pixels of its own grid: the breast's crop,
stretched to 1520 x 912, then padded to multiples of 512. What to know of it:

- each map is stretched to 0..1, so that every image holds a top score of its own, with or without a lesion;
- the quantile is taken over the whole padded grid, background included; a flat place that covers more than a twentieth
  of the grid is the quantile itself, and has no box;
- a box's score is the sum of the map inside it: larger boxes rank higher;
- after the suppression, a box that shares a quarter of its own area with another one is deleted, whichever of the two
  scores higher: two boxes of like size can delete each other, and the place then has none.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tilebank.errors import ConfigError
from tilebank.evaluation.detection.box_overlap import Corners, areas_of, corners_of, intersections, suppress
from tilebank.evaluation.detection.map_boxes import Map, Mask
from tilebank.terms import ScoredBox, TileBox


@dataclass(frozen=True)
class PublishedBoxConfig:
    """The recipe's settings, all as published; sizes in pixels of its grid. Raises ConfigError.

    rows, columns: what the crop is stretched to; pad_px: its patch, to a multiple of which the grid is padded.
    smoothing_px: sigma of the Gaussian; 20 for its single-scale and nested models. overlap: the one share for both
    suppression and deletion.
    """

    rows: int = 1520
    columns: int = 912
    pad_px: int = 512
    smoothing_px: float = 10.0
    quantile: float = 0.95
    threshold: float = 0.5
    min_area_px: int = 1024
    overlap: float = 0.25
    max_boxes: int = 100

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the grid, its padding included; a side that is a multiple already gets a whole patch."""
        rows, columns = (side + self.pad_px - side % self.pad_px for side in (self.rows, self.columns))
        return rows, columns

    def __post_init__(self) -> None:
        if min(self.rows, self.columns, self.pad_px, self.min_area_px, self.max_boxes) < 1 or self.smoothing_px < 0:
            raise ConfigError(f"published boxes: a size or count is below its minimum: {self}")
        if not (0 <= self.quantile <= 1 and 0 <= self.threshold <= 1 and 0 <= self.overlap <= 1):
            raise ConfigError(f"published boxes: quantile, threshold and overlap must be 0 to 1: {self}")


def published_find_boxes(
    heights: Map, breast: Mask, config: PublishedBoxConfig, *, crop: TileBox | None = None
) -> list[ScoredBox]:
    """The recipe from a map in source pixels to boxes in the pixels of its grid: all the steps below, in turn."""
    on_grid = published_grid_map(heights, config, crop=crop)
    mask = published_grid_map(breast.astype(np.float32), config, crop=crop) >= 0.5
    return published_extract(published_normalise(on_grid, mask, config), config)


def published_grid_map(plane: Map, config: PublishedBoxConfig, *, crop: TileBox | None = None) -> NDArray[np.float64]:
    """A map on the recipe's grid: its crop stretched, both sides by their own factor, then padded with 0.

    crop: the breast's bounding box, the whole image where not given. The recipe pads on whichever side is darker, here
    it is always right and below, which moves maps and boxes alike.
    """
    left, top, right, bottom = _inside(crop, plane.shape)
    cut = plane[top:bottom, left:right].astype(np.float32)
    stretched = cv2.resize(cut, (config.columns, config.rows), interpolation=cv2.INTER_AREA)
    padded = np.zeros(config.shape)
    padded[: config.rows, : config.columns] = stretched
    return padded


def published_grid_box(
    box: TileBox, config: PublishedBoxConfig, *, shape: tuple[int, int], crop: TileBox | None = None
) -> TileBox | None:
    """An annotated box on the recipe's grid, of an image of `shape` (rows, columns), rounded and cut off at the crop.

    None where no pixel of it is left. Right and bottom are held within the grid's own width and height. The released
    table holds the bottom within the width, which cuts 61 of 2,254 boxes; that error is not repeated.
    """
    left, top, right, bottom = _inside(crop, shape)
    scale = np.asarray([config.columns / (right - left), config.rows / (bottom - top)] * 2)
    corners = (corners_of([box])[0] - np.asarray([left, top, left, top])) * scale
    limits = [config.columns, config.rows] * 2
    x, y, to_x, to_y = np.clip(np.rint(corners), 0, limits).astype(int).tolist()
    return TileBox(x, y, to_x - x, to_y - y) if to_x > x and to_y > y else None


def published_normalise(heights: Map, breast: Mask, config: PublishedBoxConfig) -> NDArray[np.float64]:
    """Smoothed, stretched to 0..1 by the least and greatest value inside the breast, 0 outside; 0 where it is flat."""
    if not breast.any():
        return np.zeros(heights.shape)
    smooth = ndimage.gaussian_filter(heights.astype(np.float64), sigma=config.smoothing_px)
    least, greatest = smooth[breast].min(), smooth[breast].max()
    if greatest <= least:
        return np.zeros(heights.shape)
    return np.where(breast, (smooth - least) / (greatest - least), 0.0)


def published_extract(heights: Map, config: PublishedBoxConfig) -> list[ScoredBox]:
    """Boxes of a map of 0..1, by score: threshold, components, sums, suppression, deletion. None of an empty map."""
    high = (heights > np.quantile(heights, config.quantile)) & (heights > config.threshold)
    pieces, _ = ndimage.label(high)  # neighbours share an edge
    sizes = np.bincount(pieces.ravel())[1:]
    boxes = []
    for (rows, columns), size in zip(ndimage.find_objects(pieces), sizes, strict=True):
        height, width = rows.stop - rows.start, columns.stop - columns.start
        if size < config.min_area_px or height * width < config.min_area_px:
            continue
        score = float(heights[rows, columns].sum())
        boxes.append(ScoredBox(TileBox(columns.start, rows.start, width, height), score))
    boxes.sort(key=lambda scored: -scored.score)
    kept = suppress(corners_of(scored.box for scored in boxes), iou=config.overlap)[: config.max_boxes]
    boxes = [boxes[place] for place in kept]
    deleted = _deleted(corners_of(scored.box for scored in boxes), config.overlap)
    return [scored for scored, gone in zip(boxes, deleted, strict=True) if not gone]


def _inside(crop: TileBox | None, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the crop's part of the image."""
    if crop is None:
        return 0, 0, shape[1], shape[0]
    right, bottom = min(crop.x + crop.width, shape[1]), min(crop.y + crop.height, shape[0])
    return max(crop.x, 0), max(crop.y, 0), right, bottom


def _deleted(corners: Corners, overlap: float) -> NDArray[np.bool_]:
    shared = intersections(corners, corners)  # (N, N)
    np.fill_diagonal(shared, -1)
    return np.asarray((shared >= overlap * areas_of(corners)[:, None]).any(axis=1))
