"""Model the shape of a phantom breast in millimetres: outline, skin depth, chest muscle.

The frame of both views: the chest wall is the line x = 0, x grows towards the nipple, y downwards from the upper edge
of the detector. A right breast is the mirror image and is turned by whoever stores it.
"""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

View = Literal["CC", "MLO"]
VIEWS: tuple[View, View] = ("CC", "MLO")
Image = NDArray[np.float32]  # (H, W) rows, columns

FIELD_HEIGHT_MM = 232.96  # 3328 rows of 0.07 mm: a common large detector
_BEYOND_MM = 48.0  # the outline runs on behind the chest wall and above the field: no skin there


@dataclass(frozen=True)
class Grid:
    """A raster of square pixels over the field of view."""

    rows: int
    columns: int
    spacing_mm: float

    def coarsened(self, factor: int) -> "Grid":
        """The raster with pixels `factor` times as wide that covers at least the same field."""
        return Grid(-(-self.rows // factor), -(-self.columns // factor), self.spacing_mm * factor)


def grid_of(rows: int, columns: int) -> Grid:
    """The raster whose height is the height of the detector."""
    return Grid(rows, columns, FIELD_HEIGHT_MM / rows)


@dataclass(frozen=True)
class BreastShape:
    """One compressed breast. `taper` bends the outline between an ellipse (1) and a parabola (2)."""

    depth_mm: float  # chest wall to the skin at the nipple, CC
    half_height_mm: float
    taper: float
    nipple_y_cc_mm: float
    nipple_y_mlo_mm: float
    skew: float  # upper half of the CC outline longer than the lower one, as a fraction
    axilla_mm: float  # width of the shown armpit at the upper edge, MLO
    fold_mm: float  # nipple to the fold below the breast, MLO
    muscle_width_mm: float  # at the upper edge, MLO
    muscle_length_mm: float  # along the chest wall, MLO
    muscle_bow: float
    fat_layer_mm: float  # subcutaneous fat, between skin and gland
    gland_fraction: float  # of the shown area


def nipple_mm(shape: BreastShape, view: View) -> tuple[float, float]:
    """Where the skin line reaches furthest: (x, y). The oblique view shows a little more tissue behind the nipple."""
    if view == "CC":
        return shape.depth_mm, shape.nipple_y_cc_mm
    return 1.06 * shape.depth_mm, shape.nipple_y_mlo_mm


def edge_x_mm(shape: BreastShape, view: View, y_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance of the skin from the chest wall at each height; negative where there is no breast."""
    x_nipple, y_nipple = nipple_mm(shape, view)
    below = y_mm >= y_nipple
    if view == "CC":
        reach = np.where(below, 1.0 - shape.skew, 1.0 + shape.skew) * shape.half_height_mm
        x = _arch(np.abs(y_mm - y_nipple) / reach, shape.taper) * x_nipple
    else:
        lower = _arch((y_mm - y_nipple) / shape.fold_mm, shape.taper) * x_nipple
        up = np.clip((y_nipple - y_mm) / (y_nipple + 25.0), 0.0, 1.0)
        upper = shape.axilla_mm + (x_nipple - shape.axilla_mm) * (1.0 - up**2) ** (shape.taper + 0.4)
        x = np.where(below, lower, upper)
    return np.asarray(x + 3.0 * np.exp(-(((y_mm - y_nipple) / 4.0) ** 2)), dtype=np.float64)


def skin_depth_mm(shape: BreastShape, view: View, grid: Grid) -> Image:
    """Distance of each pixel from the skin line: positive inside the breast, negative outside."""
    pad = round(_BEYOND_MM / grid.spacing_mm)
    y_mm = np.arange(-_BEYOND_MM, FIELD_HEIGHT_MM + _BEYOND_MM, 0.5)
    x_mm = edge_x_mm(shape, view, y_mm)
    shown = x_mm > -_BEYOND_MM
    last = y_mm[shown][-1]
    curve = np.stack([x_mm[shown], y_mm[shown]], axis=1)  # (P, 2) x, y
    ring = np.concatenate([curve, [[-2 * _BEYOND_MM, last], [-2 * _BEYOND_MM, y_mm[shown][0]]]])
    fine = np.round((ring / grid.spacing_mm + pad - 0.5) * 16).astype(np.int32)  # 4 bits below the pixel
    body = np.zeros((grid.rows + 2 * pad, grid.columns + 2 * pad), np.uint8)
    cv2.fillPoly(body, [fine.reshape(-1, 1, 2)], 255, shift=4)
    inside = cv2.distanceTransform(body, cv2.DIST_L2, 5)
    outside = cv2.distanceTransform(255 - body, cv2.DIST_L2, 5)
    signed = cv2.GaussianBlur(inside - outside, (0, 0), 1.0)[pad : pad + grid.rows, pad : pad + grid.columns]
    return np.asarray(signed * grid.spacing_mm, dtype=np.float32)


def muscle_depth_mm(shape: BreastShape, view: View, grid: Grid) -> Image:
    """Distance of each pixel from the edge of the chest muscle, positive in it; far outside everywhere in CC."""
    if view == "CC":
        return np.full((grid.rows, grid.columns), -1e3, np.float32)
    x_mm, y_mm = pixel_centres_mm(grid)
    left = np.clip(1.0 - y_mm / shape.muscle_length_mm, 0.0, None)
    edge = shape.muscle_width_mm * left**shape.muscle_bow  # (H, 1)
    slope = shape.muscle_width_mm / shape.muscle_length_mm
    # Below the muscle's lower end the distance to that end, above it the distance to the nearly straight edge.
    beyond = np.hypot(x_mm, np.clip(y_mm - shape.muscle_length_mm, 0.0, None))
    return np.asarray(np.where(left > 0, (edge - x_mm) / np.hypot(1.0, slope), -beyond), dtype=np.float32)


def pixel_centres_mm(grid: Grid) -> tuple[Image, Image]:
    """x as (1, W) and y as (H, 1): they broadcast to the raster."""
    x = (np.arange(grid.columns, dtype=np.float32) + 0.5) * grid.spacing_mm
    y = (np.arange(grid.rows, dtype=np.float32) + 0.5) * grid.spacing_mm
    return x[None, :], y[:, None]


def _arch(reach: NDArray[np.float64], taper: float) -> NDArray[np.float64]:
    """1 at the nipple, 0 at `reach` 1, on to negative values beyond, so that the outline crosses the chest wall."""
    inner = np.clip(1.0 - reach**2, 0.0, None) ** (taper / 2)
    return np.where(reach < 1.0, inner, 4.0 * (1.0 - reach))
