"""Compute average precision, sensitivity at a rate of false positives, and thresholds from detection curves.

All boxes that count are in recall's denominator, found or not; all images are in that of false positives, with and
without boxes. FROC: Bunch et al., Proc. SPIE 127:124 (1977); Chakraborty, Medical Physics 16:561 (1989).

Shapes: K distinct scores of boxes found, r replicates, or 1 of the split itself, X rates of false positives or recalls.
"""

from collections.abc import Sequence

import numpy as np

from tilebank.evaluation.detection.curves import DetectionCurves
from tilebank.evaluation.intervals.resampling import Floats

_SLACK = 1e-9  # rates such as 0.1, times a number of images, are not exact


def average_precisions(curves: DetectionCurves) -> Floats:
    """Area under the precision envelope over recall (r,), NaN where a replicate holds no box.

    The precision at a recall is the highest at that recall or a higher one, as PASCAL VOC has it since 2010 (Everingham
    et al., IJCV 88:303); recall that is never reached adds nothing.
    """
    gained = np.diff(curves.true_positives, axis=1, prepend=0.0)  # (r, K)
    return _share(np.einsum("rk,rk->r", gained, _envelopes(curves)), curves.boxes)


def precisions_at(curves: DetectionCurves, recalls: Sequence[float]) -> Floats:
    """The envelope of precision at each recall (r, X), 0 where it is never reached; NaN where there is no box."""
    heights = np.pad(_envelopes(curves), ((0, 0), (0, 1)))  # (r, K + 1), 0 beyond the last
    wanted = np.multiply.outer(curves.boxes, recalls) - _SLACK  # (r, X) boxes to find
    rows = zip(heights, curves.true_positives, wanted, strict=True)
    at = np.stack([some[np.searchsorted(found, least, side="left")] for some, found, least in rows])
    return np.where(curves.boxes[:, None] > 0, at, np.nan)


def sensitivities_at(curves: DetectionCurves, rates: Sequence[float]) -> Floats:
    """Share of the boxes that are found at each rate of false positives an image (r, X), NaN where there is no box.

    At the lowest threshold that makes no more of them: thresholds that exist, with nothing interpolated. Where all
    detections together make fewer, it is the share that any detection finds.
    """
    found = np.pad(curves.true_positives, ((0, 0), (1, 0)))  # (r, 1 + K), nothing found above all scores
    allowed = np.multiply.outer(curves.images, rates) + _SLACK  # (r, X)
    rows = zip(found, curves.false_positives, allowed, strict=True)
    at = [some[np.searchsorted(false, most, side="right")] for some, false, most in rows]
    return _share(np.stack(at), curves.boxes[:, None])


def threshold_at(curves: DetectionCurves, rate: float) -> float:
    """The score from which a split's detections count for `sensitivities_at` this rate; infinity where none may.

    Chosen on validation, it is what a test split's detections are held against.
    """
    allowed = int((curves.false_positives[0] <= rate * curves.images[0] + _SLACK).sum())
    return float(curves.thresholds[allowed - 1]) if allowed else float("inf")


def _envelopes(curves: DetectionCurves) -> Floats:
    """The highest precision at each threshold or a lower one: (r, K)."""
    found, called = curves.true_positives, curves.true_positives + curves.false_positives
    precision = np.divide(found, called, out=np.zeros(found.shape), where=called > 0)
    return np.asarray(np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1])


def _share(above: Floats, below: Floats) -> Floats:
    below = np.broadcast_to(below, above.shape)
    return np.asarray(np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0))
