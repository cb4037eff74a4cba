"""Hold the figures of a detection evaluation with their intervals, and print them."""

from dataclasses import dataclass
from typing import get_args

import numpy as np

from tilebank.errors import ConfigError
from tilebank.evaluation.detection.images import BoxFilter
from tilebank.evaluation.detection.matching import Hit
from tilebank.evaluation.scores import Estimate

RULES: dict[Hit, str] = {"centre": "centre in the box", "near": "centre near that of the box"}


@dataclass(frozen=True)
class DetectionConfig:
    """What detection is measured by. Raises ConfigError.

    hit: what finds a box, an overlap of `iou`, a centre in it or near its own; see `detection_matching`. iou: 0.25 is
    what the published recipe takes; it has no part in the other two.
    rates: false positives an image at which sensitivity is told.
    tolerance_px: how far outside a box the map's maximum still points at it.
    threshold: detections of a lower score do not count for `found` and `false_positives`; choose it on validation
    (`froc.threshold_at`), or all count.
    """

    iou: float = 0.25
    hit: Hit = "iou"
    rates: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0, 4.0)
    tolerance_px: int = 0
    threshold: float = -np.inf

    def __post_init__(self) -> None:
        if self.hit not in get_args(Hit):
            raise ConfigError(f"detection: hit {self.hit!r} is unknown; pass one of {', '.join(get_args(Hit))}")
        if not 0 < self.iou <= 1 or self.tolerance_px < 0 or np.isnan(self.threshold):
            raise ConfigError(
                f"detection: iou {self.iou} must be above 0 and up to 1, tolerance_px {self.tolerance_px} 0 or more,"
                f" threshold {self.threshold} a number"
            )
        if not self.rates or min(self.rates) <= 0 or list(self.rates) != sorted(set(self.rates)):
            raise ConfigError(f"detection: rates {self.rates} must be numbers above 0, in rising order")

    @property
    def rule(self) -> str:
        """What a hit is, in words."""
        return RULES.get(self.hit, f"IoU {self.iou:g}")


@dataclass(frozen=True)
class DetectionCounts:
    """Sample sizes: boxes that count, their images and patients, and detections that are not ignored."""

    images: int
    images_with_boxes: int
    boxes: int
    patients: int
    detections: int


@dataclass(frozen=True)
class DetectionEvaluation:
    """What `evaluate_detection` found. Sensitivities are shares of the annotated boxes, one at each of `config.rates`.

    found, false_positives: the share of the boxes that a detection of `config.threshold` or more finds, and what those
    detections cost an image. pointing is None where no maps were given, or where each of them points at another box.
    """

    seed: int
    config: DetectionConfig
    wanted: BoxFilter
    counts: DetectionCounts
    average_precision: Estimate
    sensitivities: tuple[Estimate, ...]
    found: Estimate
    false_positives: Estimate
    pointing: Estimate | None

    def as_metrics(self) -> dict[str, float]:
        """Flat names for the record of runs: `detection_ap`, `detection_ap_low`, `detection_sens_at_1fp`, ..."""
        figures = self.average_precision.as_metrics("detection_ap")
        for rate, estimate in zip(self.config.rates, self.sensitivities, strict=True):
            figures |= estimate.as_metrics(f"detection_sens_at_{rate:g}fp")
        figures |= self.found.as_metrics("detection_found")
        figures |= self.false_positives.as_metrics("detection_fp_per_image")
        if self.pointing:
            figures |= self.pointing.as_metrics("detection_pointing")
        return figures | {"detection_boxes": float(self.counts.boxes), "detection_images": float(self.counts.images)}

    def as_text(self) -> str:
        """A small aligned table, one figure per line."""
        counts, interval, config = self.counts, self.average_precision.interval, self.config
        held = "all detections" if config.threshold == -np.inf else f"score {config.threshold:.4f} or more"
        lines = [
            f"detection by {config.rule}: {counts.boxes} annotated boxes on {counts.images_with_boxes} of"
            f" {counts.images} images, of {counts.patients} patients; {counts.detections} detections; intervals"
            f" {interval.level:.0%}, {interval.replicates} patient replicates",
            self.average_precision.as_line("AP", "all images, those without a box too"),
        ]
        lines += [
            estimate.as_line("sensitivity", f"at {rate:g} false positives an image")
            for rate, estimate in zip(config.rates, self.sensitivities, strict=True)
        ]
        lines += [self.found.as_line("boxes found", held), self.false_positives.as_line("false pos. / image", held)]
        if self.pointing:
            lines.append(self.pointing.as_line("pointing game", f"tolerance {config.tolerance_px} px"))
        return "\n".join(lines)
