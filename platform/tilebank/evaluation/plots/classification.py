"""Plot ROC, trials, learning curves and calibration of a head.

Every function returns a Figure about 800 pixels wide; the caller saves it.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tilebank.errors import DatasetError
from tilebank.evaluation.calibration import ReliabilityCurve, reliability_curve
from tilebank.evaluation.intervals.bootstrap import roc_band
from tilebank.evaluation.metrics import roc_curve
from tilebank.evaluation.plots.style import BLUE, DASHES, GREY, LIGHT, ORANGE, mark_diamond, open_figure
from tilebank.evaluation.report import Evaluation
from tilebank.evaluation.scores import ScoredBreasts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_GOLDEN = 0.6180339887498949


def roc_figure(test: ScoredBreasts, evaluation: Evaluation, *, title: str = "") -> "Figure":
    """The exact ROC of the test scores, its pointwise patient-bootstrap band, and the point chosen on validation."""
    interval, point = evaluation.auc.interval, evaluation.at_sensitivity
    curve = roc_curve(test.scores, test.labels)
    band = roc_band(
        test.scores,
        test.labels,
        test.patients,
        replicates=interval.replicates,
        seed=evaluation.seed,
        level=interval.level,
    )
    figure, axes = open_figure(5.4, title)
    axes.plot(
        np.append(0.0, curve.false_positives / curve.negatives),
        np.append(0.0, curve.true_positives / curve.positives),
        color=BLUE,
        linewidth=2,
        label=f"AUC {evaluation.auc.value:.3f} ({interval.low:.3f} to {interval.high:.3f})",
    )
    wash = f"{interval.level:.0%} band, patients resampled"
    axes.fill_between(band.false_positive_rates, band.low, band.high, color=BLUE, alpha=0.18, linewidth=0, label=wash)
    chosen = (
        f"sensitivity {point.sensitivity:.3f}, specificity {point.specificity:.3f}\n(threshold chosen on validation)"
    )
    mark_diamond(axes, 1 - point.specificity, point.sensitivity, label=chosen)
    axes.plot([0, 1], [0, 1], color=LIGHT, linewidth=1, linestyle=DASHES, zorder=0)
    axes.set(xlim=(-0.015, 1.015), ylim=(-0.015, 1.015), aspect="equal")
    axes.set(xlabel="1 − specificity (false positive rate)", ylabel="sensitivity (true positive rate)")
    axes.legend(loc="lower right", frameon=False, fontsize=9.5)
    return figure


def trials_strip_figure(val_aucs: NDArray[np.floating[Any]], *, champion: int, title: str = "") -> "Figure":
    """The validation AUC of every trial (T,) above a box of their quartiles and range, the champion marked."""
    _assert_champion(champion, val_aucs)
    known = val_aucs[~np.isnan(val_aucs)]
    figure, axes = open_figure(3.1, title)
    # A golden-ratio sequence spreads the dots evenly without a random draw: the same trials give the same picture.
    height = 0.6 + 0.55 * ((np.arange(len(val_aucs)) * _GOLDEN) % 1.0)  # (T,)
    others = np.arange(len(val_aucs)) != champion
    axes.plot(val_aucs[others], height[others], "o", color=BLUE, alpha=0.6, markersize=6.5, markeredgewidth=0)
    best, best_height = float(val_aucs[champion]), float(height[champion])
    mark_diamond(axes, best, best_height, label="champion")
    axes.annotate(
        f"champion {best:.3f}",
        (best, best_height),
        xytext=(-9, 0),
        textcoords="offset points",
        ha="right",
        va="center",
        color=ORANGE,
        fontsize=10,
    )
    _box(axes, known)
    axes.set(ylim=(0, 1.35), yticks=[])
    axes.spines["left"].set_visible(False)
    deviation = known.std(ddof=min(1, known.size - 1))
    axes.set_xlabel(f"validation AUC\n{known.size} trials: mean {known.mean():.3f}, standard deviation {deviation:.3f}")
    return figure


def curves_figure(val_curves: Sequence[NDArray[np.floating[Any]]], *, champion: int, title: str = "") -> "Figure":
    """The validation AUC of every trial by epoch, each (epochs run,), the champion and its highest point marked."""
    _assert_champion(champion, val_curves)
    figure, axes = open_figure(4.0, title)
    for trial, curve in enumerate(val_curves):
        if trial != champion:
            axes.plot(np.arange(1, len(curve) + 1), curve, color=GREY, alpha=0.3, linewidth=0.9)
            axes.plot(len(curve), curve[-1], "|", color=GREY, alpha=0.7, markersize=6)
    highlighted = val_curves[champion]
    best = int(np.nanargmax(highlighted))
    axes.plot(np.arange(1, len(highlighted) + 1), highlighted, color=BLUE, linewidth=2, label="champion")
    mark_diamond(
        axes, best + 1, float(highlighted[best]), label=f"its best: {highlighted[best]:.3f} in epoch {best + 1}"
    )
    others = f"{len(val_curves) - 1} other trials (| where each stopped)"
    axes.plot([], [], color=GREY, alpha=0.6, linewidth=0.9, label=others)
    axes.set(xlabel="epoch", ylabel="validation AUC")
    axes.legend(loc="lower right", frameon=False, fontsize=9.5)
    return figure


def calibration_figure(test: ScoredBreasts, evaluation: Evaluation, *, title: str = "") -> "Figure":
    """Share of positives by mean score in bins of equal mass, above a histogram of the scores.

    Bars are 95 % Wilson intervals (JASA 22:209, 1927) that take breasts as independent: a guide for the eye.
    """
    curve = reliability_curve(test.scores, test.labels)
    figure, axes = open_figure(5.8, title, below=1.5)
    lower, upper = _wilson(curve)
    axes.plot([0, 1], [0, 1], color=LIGHT, linewidth=1, linestyle=DASHES, label="perfect calibration")
    axes.vlines(curve.mean_scores, lower, upper, color=BLUE, alpha=0.5, linewidth=1.5)
    bins = f"{len(curve.counts)} bins of equal mass, 95% Wilson bars"
    axes.plot(curve.mean_scores, curve.positive_rates, "o-", color=BLUE, linewidth=1.5, markersize=6, label=bins)
    axes.plot([], [], " ", label=f"calibration error {evaluation.ece:.3f}, Brier score {evaluation.brier.value:.3f}")
    axes.set(xlim=(-0.015, 1.015), ylim=(-0.015, 1.015), ylabel="share of positives")
    axes.legend(loc="upper left", frameon=False, fontsize=9.5)
    histogram = figure.axes[1]
    positive = test.labels == 1
    edges = np.linspace(0, 1, 41)
    both = [test.scores[~positive], test.scores[positive]]
    names = [f"negative ({both[0].size})", f"positive ({both[1].size})"]
    histogram.hist(both, bins=edges.tolist(), stacked=True, color=[LIGHT, ORANGE], label=names)
    histogram.set(xlabel="score", ylabel="breasts")
    histogram.legend(loc="upper right", frameon=False, fontsize=9.5)
    return figure


def _box(axes: "Axes", values: NDArray[np.floating[Any]]) -> None:
    # Drawn by hand: Axes.boxplot walks the global settings, which picks a backend and imports pyplot.
    low, first, median, third, high = np.quantile(values, [0, 0.25, 0.5, 0.75, 1])
    axes.hlines([0.25, 0.25], [low, third], [first, high], color=GREY, linewidth=1.2)
    axes.vlines([low, high], 0.19, 0.31, color=GREY, linewidth=1.2)
    axes.barh(0.25, third - first, left=first, height=0.28, facecolor="none", edgecolor=GREY, linewidth=1.2)
    axes.vlines(median, 0.11, 0.39, color=BLUE, linewidth=2.5)


def _wilson(curve: ReliabilityCurve) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    z2, rate, count = 1.959964**2, curve.positive_rates, curve.counts
    centre = (rate + z2 / (2 * count)) / (1 + z2 / count)
    half = np.sqrt(z2 * (rate * (1 - rate) / count + z2 / (4 * count**2))) / (1 + z2 / count)
    return centre - half, centre + half


def _assert_champion(champion: int, trials: Sequence[NDArray[np.floating[Any]]] | NDArray[np.floating[Any]]) -> None:
    if not 0 <= champion < len(trials):
        raise DatasetError(
            f"champion {champion} is not one of {len(trials)} trials; pass its index among the values given"
        )
    if np.isnan(trials[champion]).all():
        raise DatasetError(f"champion {champion} has no validation AUC; pass the index of a trial that was fitted")
