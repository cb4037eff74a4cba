"""Evaluate detections against annotated boxes, with patient-level intervals: AP, FROC, share found, pointing game.

All images count, also those without a box. What counts as found, and what is ignored, is in `detection_matching`; what
an image is, and that a lesion counts once a view, in `detection_images`. Figures for one category or size ignore the
detections on other boxes: there is a lesion, if not the one that was asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tilebank.errors import DatasetError
from tilebank.evaluation.detection.curves import curve_replicates, curves_of
from tilebank.evaluation.detection.froc import average_precisions, sensitivities_at
from tilebank.evaluation.detection.images import BoxFilter, ImageDetections
from tilebank.evaluation.detection.matching import Matches, Overlaps, Places, match, overlaps_of
from tilebank.evaluation.detection.pointing import pointing_columns
from tilebank.evaluation.detection.report import DetectionConfig, DetectionCounts, DetectionEvaluation
from tilebank.evaluation.intervals.bootstrap import interval_of, rate_interval_of
from tilebank.evaluation.intervals.resampling import Floats, sum_replicates
from tilebank.evaluation.scores import Estimate


def evaluate_detection(
    images: Sequence[ImageDetections],
    config: DetectionConfig,
    *,
    wanted: BoxFilter | None = None,
    replicates: int = 2000,
    seed: int,
    level: float = 0.95,
) -> DetectionEvaluation:
    """All figures of one split's detections, of all annotated boxes or of those wanted.

    Raises DatasetError where no annotated box counts, an image stands twice, or there is one patient.
    """
    overlaps = overlaps_of(images, iou=config.iou, hit=config.hit)
    return evaluate_overlaps(
        overlaps, config, wanted=wanted or BoxFilter(), replicates=replicates, seed=seed, level=level
    )


def evaluate_overlaps(
    overlaps: Overlaps, config: DetectionConfig, *, wanted: BoxFilter, replicates: int, seed: int, level: float = 0.95
) -> DetectionEvaluation:
    """`evaluate_detection` on overlaps found before: one set of them serves every choice of boxes."""
    if (overlaps.hit, overlaps.iou) != (config.hit, config.iou):
        made = f"hits by {overlaps.hit}, IoU {overlaps.iou}"
        raise DatasetError(f"{made}; figures by {config.hit}, IoU {config.iou}; use the same for both")
    matches = match(overlaps, wanted)
    counts = count_matches(matches)
    drawn = _Drawn(matches, counts.patients, replicates, seed, level)
    found, false = _at_threshold(matches, config.threshold)
    pointing = pointing_columns(overlaps.images, wanted, tolerance_px=config.tolerance_px)
    average_precision, sensitivities = drawn.of_curves(config.rates)
    return DetectionEvaluation(
        seed,
        config,
        wanted,
        counts,
        average_precision,
        sensitivities,
        found=drawn.share(found),
        false_positives=drawn.mean(false),
        pointing=drawn.share(pointing) if pointing is not None and pointing[:, 1].any() else None,
    )


def count_matches(matches: Matches) -> DetectionCounts:
    """Sample sizes behind the figures of these matches."""
    with_boxes = np.unique(matches.box_images)
    return DetectionCounts(
        images=len(matches.patients),
        images_with_boxes=with_boxes.size,
        boxes=matches.box_images.size,
        patients=len({matches.patients[place] for place in with_boxes}),
        detections=int((matches.box_scores > -np.inf).sum()) + matches.false_scores.size,
    )


def _at_threshold(matches: Matches, threshold: float) -> tuple[Floats, Floats]:
    """Columns (I, 2) by image: boxes found and boxes; false positives and one."""
    images = len(matches.patients)

    def tally(places: Places) -> Floats:
        return np.bincount(places, minlength=images).astype(np.float64)

    hits = (matches.box_scores >= threshold) & (matches.box_scores > -np.inf)
    found = tally(matches.box_images[hits]), tally(matches.box_images)
    false = tally(matches.false_images[matches.false_scores >= threshold]), np.ones(images)
    return np.stack(found, axis=1), np.stack(false, axis=1)


@dataclass(frozen=True, eq=False)
class _Drawn:
    """Estimates from the same replicates: all of one seed. `patients` have a box that counts."""

    matches: Matches
    patients: int
    replicates: int
    seed: int
    level: float

    def of_curves(self, rates: tuple[float, ...]) -> tuple[Estimate, tuple[Estimate, ...]]:
        curves = curves_of(self.matches)
        precisions, sensitivities = [], []
        for some in curve_replicates(self.matches, replicates=self.replicates, seed=self.seed):
            precisions.append(average_precisions(some))
            sensitivities.append(sensitivities_at(some, rates))
        interval = interval_of(np.concatenate(precisions), patients=self.patients, level=self.level)
        pairs = zip(sensitivities_at(curves, rates)[0], np.concatenate(sensitivities).T, strict=True)
        return (
            Estimate(float(average_precisions(curves)[0]), interval),
            tuple(self._rate(float(value), values) for value, values in pairs),
        )

    def share(self, columns: Floats) -> Estimate:
        """Of a sum that is part of another (I, 2)."""
        return self._rate(float(columns[:, 0].sum() / columns[:, 1].sum()), self._ratios(columns))

    def mean(self, columns: Floats) -> Estimate:
        """Of a sum by a count of all images (I, 2)."""
        value = float(columns[:, 0].sum() / columns[:, 1].sum())
        patients = len(set(self.matches.patients))
        return Estimate(value, interval_of(self._ratios(columns), patients=patients, level=self.level))

    def _ratios(self, columns: Floats) -> Floats:
        sums = sum_replicates(columns, self.matches.patients, replicates=self.replicates, seed=self.seed)  # (R, 2)
        above, below = sums.T
        return np.asarray(np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0))

    def _rate(self, value: float, values: Floats) -> Estimate:
        return Estimate(value, rate_interval_of(value, values, patients=self.patients, level=self.level))
