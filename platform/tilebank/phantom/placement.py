"""Place a finding in a breast: away from skin, muscle and other findings, at one depth in both views.

Works on a grid of 1 mm, whatever the size of the images.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tilebank.errors import DatasetError
from tilebank.phantom.anatomy import (
    VIEWS,
    BreastShape,
    View,
    grid_of,
    muscle_depth_mm,
    nipple_mm,
    pixel_centres_mm,
    skin_depth_mm,
)
from tilebank.phantom.findings import Finding, centre_mm, reach_mm

SKIN_MM = 5.0  # findings keep this distance from the skin
_PLAN_ROWS, _PLAN_COLUMNS = 233, 163


class FreeSpace:
    """Where in one view findings may still lie, on pixels of 1 mm."""

    def __init__(self, shape: BreastShape, view: View) -> None:
        grid = grid_of(_PLAN_ROWS, _PLAN_COLUMNS)
        self.spacing_mm = grid.spacing_mm
        self.x, self.y = pixel_centres_mm(grid)
        self.x_nipple, y_nipple = nipple_mm(shape, view)
        self.depth = skin_depth_mm(shape, view, grid)
        self.clearance = np.minimum(self.depth - SKIN_MM, -muscle_depth_mm(shape, view, grid))
        self.clearance = np.minimum(self.clearance, np.minimum(self.x, self.y - 15.0) - 1.0)
        # Gland lies behind the nipple, and findings in gland.
        self.liking = np.exp(-(((self.y - y_nipple) / (0.5 * shape.half_height_mm)) ** 2))[:, 0]

    def rows_for(self, behind_nipple_mm: float, reach: float) -> NDArray[np.float64]:
        """Weight of each row for a finding of this reach at this depth, 0 where it does not fit: (H,)."""
        column = int((self.x_nipple - behind_nipple_mm) / self.spacing_mm)
        fits = self.clearance[:, column] > reach + self.spacing_mm
        corners = self.depth[:, column] > np.sqrt(2.0) * reach + self.spacing_mm  # its box stays in the breast too
        return np.asarray((fits & corners) * self.liking, dtype=np.float64)

    def occupy(self, x_mm: float, y_mm: float, reach: float) -> None:
        away = np.hypot(self.x - x_mm, self.y - y_mm) - np.sqrt(2.0) * reach
        self.clearance = np.minimum(self.clearance, away)


def place_finding(
    finding: Finding, rng: np.random.Generator, *, shape: BreastShape, room: dict[View, FreeSpace]
) -> Finding:
    """`finding` where it fits in both views, at one distance behind the nipple; smaller if the breast is too small."""
    depths = np.arange(8.0, shape.depth_mm - 2.0)
    for diameter in finding.diameter_mm * 0.9 ** np.arange(30):
        reach = reach_mm(finding.form, diameter)
        rows = {view: np.stack([room[view].rows_for(depth, reach) for depth in depths]) for view in VIEWS}  # (D, H)
        weight = np.sqrt(rows["CC"].sum(axis=1) * rows["MLO"].sum(axis=1))
        if not weight.any():
            continue
        at = int(rng.choice(depths.size, p=weight / weight.sum()))
        y_mm = {v: float(rng.choice(room[v].y[:, 0], p=rows[v][at] / rows[v][at].sum())) for v in VIEWS}
        placed = replace(
            finding,
            diameter_mm=float(diameter),
            behind_nipple_mm=float(depths[at]),
            y_cc_mm=y_mm["CC"] + rng.uniform(-0.4, 0.4),
            y_mlo_mm=y_mm["MLO"] + rng.uniform(-0.4, 0.4),
        )
        for view in VIEWS:
            room[view].occupy(*centre_mm(placed, shape, view), reach)
        return placed
    raise DatasetError(f"no room for a {finding.form} finding of seed {finding.seed}; change the seed of the phantom")
