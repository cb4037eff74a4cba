"""Compute average precision by the published recipe of FPN-MIL; use it only to compare with its tables.

Follows MIL/roi_eval.py of marianamourao-37/Multi-scale-Attention-based-MIL (MICCAI 2025) at 38bdf24, on boxes of its
grid: `published_image` brings an image there. What it calls mAP is one AP of one category. What to know of it:

- only images with a box of the category and size count: false positives on all others are never seen;
- a detection counts only for its best box; where that one is taken it is false, also if it overlaps a second one;
- annotated boxes are filtered by size and detections are not: one that finds a lesion of another size is false.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tilebank.errors import DatasetError
from tilebank.evaluation.detection.box_overlap import Corners, areas_of, corners_of, iou_of
from tilebank.evaluation.detection.images import ImageDetections
from tilebank.evaluation.detection.published_boxes import PublishedBoxConfig, published_grid_box
from tilebank.terms import ScoredBox, TileBox

PUBLISHED_SIZES = {"small": (0, 128**2), "medium": (128**2, 256**2), "large": (256**2, np.inf)}  # px of its grid


def published_image(
    image: ImageDetections, found: Sequence[ScoredBox], config: PublishedBoxConfig, *, crop: TileBox | None = None
) -> ImageDetections:
    """The image on the recipe's grid: what is left there of its annotated boxes, and `found` of `published_find_boxes`.

    crop: the breast's bounding box, the whole image where not given. The peak and the spacing are left behind: they are
    of source pixels.
    """
    shape = image.rows, image.columns
    moved = [(one, published_grid_box(one.box, config, shape=shape, crop=crop)) for one in image.findings]
    rows, columns = config.shape
    return ImageDetections(
        image.image_id,
        image.patient_id,
        rows,
        columns,
        tuple(replace(one, box=box) for one, box in moved if box),
        tuple(found),
    )


def published_average_precision(
    images: Sequence[ImageDetections], *, category: str = "", size: str = "", iou: float = 0.25
) -> float:
    """Area under the precision envelope, over images with a box of the category and size (all where empty), pooled.

    0 where nothing was detected, where the published code stops. Equal scores stand by image id, then as they were
    found; there the sort leaves them to chance. Raises DatasetError where no image has such a box.
    """
    if size and size not in PUBLISHED_SIZES:
        raise DatasetError(f"no published size {size!r}; pass one of {', '.join(PUBLISHED_SIZES)}, or nothing for all")
    scores, hits, boxes = [np.zeros(0)], [np.zeros(0, dtype=np.bool_)], 0
    for image in sorted(images, key=lambda one: one.image_id):
        targets = _targets(image, category, size)
        if not len(targets):
            continue
        found = sorted(image.detections, key=lambda one: -one.score)
        scores.append(np.asarray([one.score for one in found]))
        hits.append(_hits(corners_of(one.box for one in found), targets, iou))
        boxes += len(targets)
    if not boxes:
        asked = f"category {category or 'any'}, size {size or 'any'}"
        raise DatasetError(f"no image has an annotated box of {asked}; the published recipe has no figure for it")
    order = np.argsort(-np.concatenate(scores), kind="stable")
    return _area(np.concatenate(hits)[order], boxes)


def _targets(image: ImageDetections, category: str, size: str) -> Corners:
    corners = corners_of(one.box for one in image.findings if not category or category in one.categories)
    low, high = PUBLISHED_SIZES[size] if size else (0, np.inf)
    areas = areas_of(corners)
    return corners[(areas >= low) & (areas < high)]


def _hits(detections: Corners, targets: Corners, iou: float) -> NDArray[np.bool_]:
    """Whether each detection, best first, finds its best box first of all."""
    overlaps = iou_of(detections, targets)  # (D, L)
    hits, taken = np.zeros(len(detections), dtype=np.bool_), set()
    for place, row in enumerate(overlaps):
        best = int(row.argmax())
        if row[best] >= iou and best not in taken:
            taken.add(best)
            hits[place] = True
    return hits


def _area(hits: NDArray[np.bool_], boxes: int) -> float:
    found = np.cumsum(hits)
    recall, precision = found / boxes, found / np.arange(1, hits.size + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall, prepend=0.0) * envelope).sum())
