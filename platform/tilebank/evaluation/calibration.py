"""Measure calibration: Brier score, reliability curve and expected calibration error.

A head trained with a class-weighted loss shifts its scores on purpose; these figures then measure that shift too.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tilebank.errors import DatasetError
from tilebank.evaluation.intervals.bootstrap import Interval, interval_of
from tilebank.evaluation.intervals.resampling import sum_replicates
from tilebank.evaluation.metrics import Labels, Scores, assert_probabilities, positives_of


@dataclass(frozen=True, eq=False)
class ReliabilityCurve:
    """One entry a bin, by rising score: mean score, share of positives, number of breasts, all (bins,)."""

    mean_scores: NDArray[np.float64]
    positive_rates: NDArray[np.float64]
    counts: NDArray[np.int64]


def brier_score(scores: Scores, labels: Labels) -> float:
    """Mean squared distance of score and label (Brier, Monthly Weather Review 78:1, 1950)."""
    positive = positives_of(scores, labels)
    assert_probabilities(scores)
    return float(np.mean((scores.astype(np.float64) - positive) ** 2))


def brier_interval(
    scores: Scores, labels: Labels, patients: Sequence[str], *, replicates: int = 2000, seed: int, level: float = 0.95
) -> Interval:
    """The patient-bootstrap interval of `brier_score`: a mean, so that replicates of one class count too."""
    distance = (scores.astype(np.float64) - positives_of(scores, labels)) ** 2
    columns = np.stack([distance, np.ones_like(distance)], axis=1)
    sums = sum_replicates(columns, patients, replicates=replicates, seed=seed)  # (R, 2)
    return interval_of(sums[:, 0] / sums[:, 1], patients=len(set(patients)), level=level)


def reliability_curve(scores: Scores, labels: Labels, *, bins: int = 10) -> ReliabilityCurve:
    """The curve over bins of equal mass, which are less biased than equal widths (Roelofs et al., AISTATS 2022).

    Equal scores stay in one bin whatever the order of rows, so tied scores may leave fewer and uneven bins.
    """
    positive = positives_of(scores, labels)
    assert_probabilities(scores)
    if bins < 1:
        raise DatasetError(f"{bins} bins hold no breasts; pass 1 or more")
    rank = np.searchsorted(np.sort(scores), scores, side="left")  # (B,) of the first among equals
    _, place, counts = np.unique(rank * bins // scores.size, return_inverse=True, return_counts=True)
    mean_scores = np.bincount(place, weights=scores) / counts
    return ReliabilityCurve(mean_scores, np.bincount(place, weights=positive) / counts, counts)


def expected_calibration_error(scores: Scores, labels: Labels, *, bins: int = 10) -> float:
    """Mean distance of score and share of positives over the bins, by their breasts (Naeini et al., AAAI 2015)."""
    curve = reliability_curve(scores, labels, bins=bins)
    return float(np.average(np.abs(curve.mean_scores - curve.positive_rates), weights=curve.counts))
