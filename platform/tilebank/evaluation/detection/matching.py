"""Match detections to annotated boxes.

Detections are taken by score, highest first; each finds the annotated box that it overlaps most among those that it
hits, are wanted and not found yet (the greedy matching of COCO). What a hit is, is a choice:

- `iou`: an intersection over union of `iou` or more. Where boxes are as wide as tiles, no small lesion is ever hit so;
- `centre`: the detection's centre lies in the box, as for CAD marks (Ribli et al., Scientific Reports 8:4165, 2018);
- `near`: the centres lie less than half the box's diagonal apart, or less than 100 pixels, as in the DBTex challenge.

A box is found once: a second detection on it is a false positive. Detections of equal score are taken together, pairs
of highest overlap first, and what still ties goes by coordinates, so that no figure depends on the order of the input.

A detection that finds no wanted box and hits an unwanted one (of another category or size) is ignored: it is no false
positive, for there is a lesion, and no true one; any number of them may lie on one such box.

Shapes: I images, D detections, L annotated boxes, N pairs that are hits; after matching L wanted boxes, F false
positives.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tilebank.errors import DatasetError
from tilebank.evaluation.detection.box_overlap import centres_in, centres_near, corners_of, iou_of
from tilebank.evaluation.detection.images import BoxFilter, ImageDetections
from tilebank.evaluation.intervals.resampling import Floats
from tilebank.terms import TileBox

Places: TypeAlias = NDArray[np.int64]
Hit: TypeAlias = Literal["iou", "centre", "near"]
BY_CENTRE = {"centre": centres_in, "near": centres_near}


@dataclass(frozen=True, eq=False)
class Overlaps:
    """All detections and annotated boxes of a split, and which pairs of them are hits, by which choice."""

    images: tuple[ImageDetections, ...]
    hit: Hit
    iou: float
    scores: Floats  # (D,)
    detection_images: Places  # (D,) place of the image
    box_images: Places  # (L,)
    pairs: Places  # (N, 2) detection, box; in the order of matching


@dataclass(frozen=True, eq=False)
class Matches:
    """What became of the wanted boxes, and the false positives; all that detection figures need."""

    box_scores: Floats  # (L,) of the detection that found the box, -inf where none did
    box_images: Places  # (L,)
    false_scores: Floats  # (F,)
    false_images: Places  # (F,)
    patients: tuple[str, ...]  # (I,)


def overlaps_of(images: Sequence[ImageDetections], *, iou: float, hit: Hit = "iou") -> Overlaps:
    """Find all hits. Raises DatasetError without images, for an image given twice, or an `iou` outside (0, 1]."""
    if not images or len({image.image_id for image in images}) < len(images):
        raise DatasetError(f"{len(images)} images, {len({i.image_id for i in images})} different; pass each one once")
    if not 0 < iou <= 1:
        raise DatasetError(f"an IoU of {iou} cannot tell a hit from a miss; pass one above 0 and up to 1")
    detections = [sorted(image.detections, key=lambda found: _place(found.box)) for image in images]
    pairs, overlaps = [np.zeros((0, 2), dtype=np.int64)], [np.zeros(0)]
    first_detection = first_box = 0
    for image, found in zip(images, detections, strict=True):
        if found and image.findings:
            first, second = corners_of(one.box for one in found), corners_of(one.box for one in image.findings)
            shares = iou_of(first, second)
            hits = shares >= iou if hit == "iou" else BY_CENTRE[hit](first, second)
            near = np.argwhere(hits)  # (n, 2)
            pairs.append(near + np.asarray([first_detection, first_box]))
            overlaps.append(shares[near[:, 0], near[:, 1]])
        first_detection += len(found)
        first_box += len(image.findings)
    scores = np.asarray([one.score for found in detections for one in found], dtype=np.float64)
    joined, shares = np.concatenate(pairs), np.concatenate(overlaps)
    boxes = np.asarray([_place(one.box) for image in images for one in image.findings], dtype=np.int64).reshape(-1, 4)
    tied = [joined[:, 0], *boxes[joined[:, 1]].T[::-1], -shares, -scores[joined[:, 0]]]  # the last key weighs most
    return Overlaps(
        tuple(images),
        hit,
        iou,
        scores,
        np.repeat(np.arange(len(images)), [len(found) for found in detections]),
        np.repeat(np.arange(len(images)), [len(image.findings) for image in images]),
        joined[np.lexsort(tied)],
    )


def match(overlaps: Overlaps, wanted: BoxFilter) -> Matches:
    """Match detections to the wanted boxes of all images. Images without such a box keep their false positives."""
    targets = np.asarray([here for image in overlaps.images for here in wanted.of(image)], dtype=np.bool_)  # (L,)
    box_scores = np.full(targets.size, -np.inf)
    hits, ignored = np.zeros((2, overlaps.scores.size), dtype=np.bool_)
    for detection, box in overlaps.pairs.tolist():
        if not targets[box]:
            ignored[detection] = True
        elif not hits[detection] and box_scores[box] == -np.inf:
            box_scores[box] = overlaps.scores[detection]
            hits[detection] = True
    false = ~hits & ~ignored
    return Matches(
        box_scores[targets],
        overlaps.box_images[targets],
        overlaps.scores[false],
        overlaps.detection_images[false],
        tuple(image.patient_id for image in overlaps.images),
    )


def _place(box: TileBox) -> tuple[int, int, int, int]:
    return box.x, box.y, box.width, box.height
