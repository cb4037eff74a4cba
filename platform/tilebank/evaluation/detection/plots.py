"""Plot the FROC curve, and precision against recall.

Every function returns a Figure; the caller saves it.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tilebank.evaluation.detection.curves import DetectionCurves, curve_replicates, curves_of
from tilebank.evaluation.detection.froc import precisions_at, sensitivities_at
from tilebank.evaluation.detection.images import ImageDetections
from tilebank.evaluation.detection.matching import Matches, match, overlaps_of
from tilebank.evaluation.detection.report import DetectionEvaluation
from tilebank.evaluation.intervals.bootstrap import tails_of
from tilebank.evaluation.intervals.resampling import Floats
from tilebank.evaluation.plots.style import BLUE, GREY, mark_diamond, open_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_POINTS = 201


def froc_figure(images: Sequence[ImageDetections], evaluation: DetectionEvaluation, *, title: str = "") -> "Figure":
    """Sensitivity by false positives an image, on a log scale, with its pointwise patient-bootstrap band.

    Dots are the evaluation's figures with their intervals; a diamond is its threshold, where it has one.
    """
    config, counts = evaluation.config, evaluation.counts
    low, high = config.rates[0] / 4, config.rates[-1] * 2
    rates = np.geomspace(low, high, _POINTS)
    matches = _matches(images, evaluation)
    line, band = _line_and_band(matches, evaluation, lambda curves: sensitivities_at(curves, rates.tolist()))
    interval = evaluation.average_precision.interval
    figure, axes = open_figure(4.6, title)
    boxes = f"{counts.boxes} boxes on {counts.images_with_boxes} of {counts.images} images"
    _draw_band(axes, rates, line, band=band, label=boxes, level=interval.level)
    for rate, estimate in zip(config.rates, evaluation.sensitivities, strict=True):
        axes.vlines(rate, estimate.interval.low, estimate.interval.high, color=BLUE, linewidth=1.2)
        axes.plot(rate, estimate.value, "o", color=BLUE, markersize=5.5)
    if config.threshold > -np.inf:
        found, false = evaluation.found.value, evaluation.false_positives.value
        chosen = f"{found:.3f} found at {false:.2f} an image\n(threshold chosen on validation)"
        mark_diamond(axes, float(np.clip(false, low, high)), found, label=chosen)
    axes.set_xscale("log")
    axes.set_xticks(list(config.rates), [f"{rate:g}" for rate in config.rates])
    axes.set_xticks([], minor=True)
    axes.set(xlim=(low, high), ylim=(-0.015, 1.015), xlabel="false positives an image", ylabel="share of boxes found")
    axes.legend(loc="upper left", frameon=False, fontsize=9.5)
    return figure


def precision_recall_figure(
    images: Sequence[ImageDetections], evaluation: DetectionEvaluation, *, title: str = ""
) -> "Figure":
    """Precision against recall, its envelope, whose area is the average precision, and the envelope's band."""
    recalls = np.linspace(0, 1, _POINTS)
    matches = _matches(images, evaluation)
    line, band = _line_and_band(matches, evaluation, lambda curves: precisions_at(curves, recalls.tolist()))
    curves = curves_of(matches)
    found, false = curves.true_positives[0], curves.false_positives[0]
    interval = evaluation.average_precision.interval
    figure, axes = open_figure(4.6, title)
    area = f"envelope: AP {evaluation.average_precision.as_text()}"
    _draw_band(axes, recalls, line, band=band, label=area, level=interval.level)
    every = f"at each score that finds a box ({evaluation.config.rule})"
    axes.plot(found / curves.boxes[0], found / (found + false), ".", color=GREY, markersize=2.5, label=every)
    axes.set(xlim=(-0.015, 1.015), ylim=(-0.015, 1.015))
    axes.set(xlabel="recall (share of boxes found)", ylabel="precision (share of detections on a box)")
    axes.legend(loc="upper right", frameon=False, fontsize=9.5)
    return figure


def _draw_band(axes: "Axes", x: Floats, line: Floats, *, band: Floats, label: str, level: float) -> None:
    """A line (X,) over its band (2, X)."""
    axes.plot(x, line, color=BLUE, linewidth=2, label=label)
    wash = f"{level:.0%} band, patients resampled"
    axes.fill_between(x, *band, color=BLUE, alpha=0.18, linewidth=0, label=wash)


def _line_and_band(
    matches: Matches, evaluation: DetectionEvaluation, values: Callable[[DetectionCurves], Floats]
) -> tuple[Floats, Floats]:
    """Values (X,) of the split, and their pointwise interval (2, X)."""
    interval = evaluation.average_precision.interval
    drawn = curve_replicates(matches, replicates=interval.replicates, seed=evaluation.seed)
    replicates = np.concatenate([values(some) for some in drawn])  # (R, X)
    shares = tails_of(interval.level, patients=evaluation.counts.patients)
    return values(curves_of(matches))[0], np.nanquantile(replicates, shares, axis=0)


def _matches(images: Sequence[ImageDetections], evaluation: DetectionEvaluation) -> Matches:
    return match(overlaps_of(images, iou=evaluation.config.iou, hit=evaluation.config.hit), evaluation.wanted)
