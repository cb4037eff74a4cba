"""Hold the annotated and the detected boxes of each image, and choose which annotated boxes to evaluate.

The image is the unit: a lesion that was annotated in two views of a breast is
two boxes, one on each image, and counts twice. So do false positives; patients are what the intervals resample.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from tilebank.errors import ConfigError, DatasetError
from tilebank.evaluation.subgroups import UNKNOWN
from tilebank.terms import Finding, ScoredBox, TileBox

SIZES = ("small", "medium", "large")


@dataclass(frozen=True)
class ImageDetections:
    """One image: its annotated boxes and what was detected, in source pixels. An image may have none of either.

    peak: x, y where the map is highest, for the pointing game; None where there is no map. spacing_mm: (row, column) of
    a pixel at the detector, None where not known. Raises DatasetError.
    """

    image_id: str
    patient_id: str
    rows: int
    columns: int
    findings: tuple[Finding, ...] = ()
    detections: tuple[ScoredBox, ...] = ()
    peak: tuple[int, int] | None = None
    spacing_mm: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        for finding in self.findings:
            self._assert_box(finding.box, "annotated")
            if finding.image_id != self.image_id:
                raise DatasetError(
                    f"a box of image {finding.image_id} is given to image {self.image_id}; pass each its own"
                )
        for detection in self.detections:
            self._assert_box(detection.box, "detected")
            if not np.isfinite(detection.score):
                raise DatasetError(
                    f"a box detected on image {self.image_id} has the score {detection.score}; pass finite scores"
                )

    def _assert_box(self, box: TileBox, what: str) -> None:
        inside = box.x < self.columns and box.y < self.rows and box.x + box.width > 0 and box.y + box.height > 0
        if min(box.width, box.height) < 1 or not inside:
            raise DatasetError(
                f"image {self.image_id} of {self.columns} x {self.rows} px: the {what} {box} has no pixel in it; pass"
                " boxes in pixels of this image"
            )


@dataclass(frozen=True)
class SizeClasses:
    """Small, medium and large by the square root of a box's area: below, from and from these edges. Raises ConfigError.

    In millimetres the edges are those between T1b, T1c and T2 of the TNM classification, 10 and 20 mm; no stage, for a
    box is wider than its lesion, and spacing is at the detector, where a lesion is shown a little enlarged. Pixels
    can be compared only within one detector. A box on an image without spacing is of size `unknown` in millimetres.
    """

    unit: Literal["mm", "px"] = "mm"
    medium: float = 10.0
    large: float = 20.0

    def __post_init__(self) -> None:
        if self.unit not in ("mm", "px") or not 0 < self.medium < self.large:
            raise ConfigError(
                f"size classes: unit {self.unit!r} is mm or px; medium {self.medium} lies above 0 and below large"
                f" {self.large}"
            )

    def size_of(self, box: TileBox, spacing_mm: tuple[float, float] | None) -> str:
        """`small`, `medium`, `large` or `unknown`."""
        if self.unit == "px":
            spacing_mm = (1.0, 1.0)
        if spacing_mm is None:
            return UNKNOWN
        side = (box.width * spacing_mm[1] * box.height * spacing_mm[0]) ** 0.5
        return SIZES[int(side >= self.medium) + int(side >= self.large)]


@dataclass(frozen=True)
class BoxFilter:
    """Which annotated boxes a figure is about; all where a field is empty. The others are ignored: see `detection`.

    category: one of a finding's categories, `unknown` for findings without any. size: a size class.
    """

    category: str = ""
    size: str = ""
    sizes: SizeClasses = field(default_factory=SizeClasses)

    def of(self, image: ImageDetections) -> tuple[bool, ...]:
        """Whether each of the image's findings is wanted."""
        return tuple(self._has(finding, image.spacing_mm) for finding in image.findings)

    def _has(self, finding: Finding, spacing_mm: tuple[float, float] | None) -> bool:
        named = not self.category or self.category in (finding.categories or (UNKNOWN,))
        return named and (not self.size or self.size == self.sizes.size_of(finding.box, spacing_mm))
