"""Play the pointing game: does the highest point of a map lie on a lesion?

Zhang et al., International Journal of Computer Vision 126:1084 (2018), who allowed 15 px around an object. Images with
a box that counts are asked; one whose highest point lies only on another box is left out, as a detection there is.
"""

from collections.abc import Sequence

import numpy as np

from tilebank.errors import DatasetError
from tilebank.evaluation.detection.box_overlap import corners_of
from tilebank.evaluation.detection.images import BoxFilter, ImageDetections
from tilebank.evaluation.intervals.resampling import Floats


def pointing_columns(images: Sequence[ImageDetections], wanted: BoxFilter, *, tolerance_px: int) -> Floats | None:
    """One row an image (I, 2): hit, asked; their sums' ratio is the figure. None where no image has a highest point.

    A point up to `tolerance_px` to the side of a box, above or below it, points at it. Raises DatasetError where some
    images with an annotated box have a map and others have none.
    """
    asked = [image for image in images if image.findings]
    without = [image.image_id for image in asked if image.peak is None]
    if len(without) == len(asked):
        return None
    if without:
        raise DatasetError(
            f"{len(without)} of {len(asked)} images with boxes have no peak: {without[:5]}; give all of them or none"
        )
    return np.asarray([_row(image, wanted, tolerance_px) for image in images], dtype=np.float64)


def _row(image: ImageDetections, wanted: BoxFilter, tolerance_px: int) -> tuple[bool, bool]:
    chosen = np.asarray(wanted.of(image), dtype=np.bool_)  # (L,)
    if image.peak is None or not chosen.any():
        return False, False
    corners, point = corners_of(finding.box for finding in image.findings), np.asarray(image.peak)
    on = ((point >= corners[:, :2] - tolerance_px) & (point < corners[:, 2:] + tolerance_px)).all(axis=1)  # (L,)
    hit = bool((on & chosen).any())
    return hit, hit or not on.any()
