"""Compute confidence intervals from patient replicates: widened percentiles, exact where a rate is 0 or 1.

Intervals are percentiles of the replicates (Efron & Tibshirani 1993, chapter 13), taken a little further out:
replicates of n patients vary by too little, as a variance divided by n does, and a normal quantile is too short for n.
The tails are those of the expanded percentile interval (Hesterberg, American Statistician 69:371, 2015),

    share = Phi(-sqrt(n / (n - 1)) * t),  t the quantile of Student's t with n - 1 degrees of freedom,

with n the patients behind the figure: of the rarer class for an AUC, with a positive breast for a sensitivity. The
interval is wider for it by 2 % at n = 100, by 10 % at n = 20. See `resampling` for what is drawn. A replicate in which
a statistic is not defined is left out, and counted. A statistic at its end of the scale (an AUC of 1) is the same in
every replicate, and its interval then has no width; for rates an exact one stands in.

Shapes: R replicates, F false positive rates.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

from tilebank.errors import DatasetError
from tilebank.evaluation.intervals.resampling import (
    Floats,
    Statistic,
    auc_replicates,
    average_precision_replicates,
    rate_replicates,
    roc_replicates,
    statistic_replicates,
)
from tilebank.evaluation.metrics import Labels, OperatingPoint, Scores, operating_point, positives_of


@dataclass(frozen=True)
class Interval:
    """A widened percentile interval. In `skipped` of the `replicates` drawn the statistic was not defined."""

    low: float
    high: float
    level: float
    replicates: int
    skipped: int


@dataclass(frozen=True)
class RateIntervals:
    """Intervals of the three rates of one threshold."""

    sensitivity: Interval
    specificity: Interval
    balanced_accuracy: Interval


@dataclass(frozen=True, eq=False)
class RocBand:
    """Pointwise interval of the sensitivity at each false positive rate, all (F,)."""

    false_positive_rates: Floats
    low: Floats
    high: Floats


def interval_of(values: Floats, *, patients: int, level: float = 0.95) -> Interval:
    """The interval of replicates (R,), those that are NaN left out. Raises DatasetError when all are.

    patients: how many stand behind the figure.
    """
    low, high = np.quantile(_defined(values), tails_of(level, patients=patients))
    return Interval(float(low), float(high), level, values.size, int(np.isnan(values).sum()))


def rate_interval_of(rate: float, values: Floats, *, patients: int, level: float = 0.95) -> Interval:
    """The interval of a rate from its replicates (R,); an exact one where the rate itself is 0 or 1.

    There it is the Clopper & Pearson interval (Biometrika 26:404, 1934) with the number of patients as the number of
    trials, which takes all breasts of a patient for one.
    """
    interval = interval_of(values, patients=patients, level=level)
    if rate not in (0.0, 1.0):
        return interval
    share = float(((1 - level) / 2) ** (1 / patients))  # beta quantile where all trials went one way
    return replace(interval, low=share, high=1.0) if rate else replace(interval, low=0.0, high=1 - share)


def tails_of(level: float, *, patients: int) -> tuple[float, float]:
    """The shares of replicates below the low and below the high end. One patient's end where the replicates end."""
    if not 0 < level < 1:
        raise DatasetError(f"a level of {level} is not a share; pass 0.95 for a 95 % interval")
    if patients < 2:
        return 0.0, 1.0
    reach = np.sqrt(patients / (patients - 1)) * stdtrit(patients - 1, (1 + level) / 2)
    return float(ndtr(-reach)), float(ndtr(reach))


def patients_of_rarer(scores: Scores, labels: Labels, patients: Sequence[str]) -> int:
    """The patients with a positive breast, or those with a negative one: whichever are fewer."""
    return min(_patients_of_each(positives_of(scores, labels), patients))


def bootstrap_interval(
    statistic: Statistic,
    scores: Scores,
    labels: Labels,
    patients: Sequence[str],
    *,
    replicates: int = 2000,
    seed: int,
    level: float = 0.95,
) -> Interval:
    """The interval of any `statistic(scores, labels)`, called once a replicate on the breasts that were drawn."""
    values = statistic_replicates(statistic, scores, labels, patients, replicates=replicates, seed=seed)
    return interval_of(values, patients=patients_of_rarer(scores, labels, patients), level=level)


def auc_interval(
    scores: Scores, labels: Labels, patients: Sequence[str], *, replicates: int = 2000, seed: int, level: float = 0.95
) -> Interval:
    """The interval of `roc_auc`. An AUC of exactly 0 or 1 has none: it comes back without width."""
    values = auc_replicates(scores, labels, patients, replicates=replicates, seed=seed)
    return interval_of(values, patients=patients_of_rarer(scores, labels, patients), level=level)


def average_precision_interval(
    scores: Scores, labels: Labels, patients: Sequence[str], *, replicates: int = 2000, seed: int, level: float = 0.95
) -> Interval:
    """The interval of `average_precision`. The prevalence varies with the patients drawn, as the precision does."""
    values = average_precision_replicates(scores, labels, patients, replicates=replicates, seed=seed)
    return interval_of(values, patients=patients_of_rarer(scores, labels, patients), level=level)


def rate_intervals(
    scores: Scores,
    labels: Labels,
    patients: Sequence[str],
    *,
    threshold: float,
    replicates: int = 2000,
    seed: int,
    level: float = 0.95,
) -> RateIntervals:
    """Intervals of sensitivity, specificity and balanced accuracy at a threshold that was fixed elsewhere.

    Where a sensitivity or specificity of exactly 0 or 1 has its exact interval, the balanced accuracy follows from both
    intervals by squares (Zou & Donner, Statistics in Medicine 27:1693, 2008).
    """
    point = operating_point(scores, labels, threshold=threshold)
    rates = rate_replicates(scores, labels, patients, threshold=threshold, replicates=replicates, seed=seed)  # (2, R)
    ill, well = _patients_of_each(positives_of(scores, labels), patients)
    found = RateIntervals(
        rate_interval_of(point.sensitivity, rates[0], patients=ill, level=level),
        rate_interval_of(point.specificity, rates[1], patients=well, level=level),
        interval_of(rates.mean(axis=0), patients=min(ill, well), level=level),
    )
    if {point.sensitivity, point.specificity} & {0.0, 1.0}:
        return replace(found, balanced_accuracy=_by_squares(point, found))
    return found


def roc_band(
    scores: Scores, labels: Labels, patients: Sequence[str], *, replicates: int = 2000, seed: int, level: float = 0.95
) -> RocBand:
    """Percentiles of the replicates' ROC curves at 101 false positive rates: pointwise, no claim on a whole curve."""
    rates = np.linspace(0, 1, 101)
    curves = []
    for true_positives, false_positives in roc_replicates(scores, labels, patients, replicates=replicates, seed=seed):
        for tp, fp in zip(true_positives, false_positives, strict=True):  # (K,), (K,)
            if tp[-1] and fp[-1]:
                curves.append(np.interp(rates, np.append(0.0, fp / fp[-1]), np.append(0.0, tp / tp[-1])))
    if not curves:
        raise _one_class(replicates)
    shares = tails_of(level, patients=patients_of_rarer(scores, labels, patients))
    low, high = np.quantile(np.asarray(curves), shares, axis=0)  # (F,), (F,)
    return RocBand(rates, low, high)


def _by_squares(point: OperatingPoint, found: RateIntervals) -> Interval:
    pairs = ((point.sensitivity, found.sensitivity), (point.specificity, found.specificity))
    below = np.sqrt(sum((rate - interval.low) ** 2 for rate, interval in pairs)) / 2
    above = np.sqrt(sum((interval.high - rate) ** 2 for rate, interval in pairs)) / 2
    low, high = point.balanced_accuracy - float(below), point.balanced_accuracy + float(above)
    return replace(found.balanced_accuracy, low=low, high=high)


def _patients_of_each(positive: NDArray[np.bool_], patients: Sequence[str]) -> tuple[int, int]:
    """Patients with a positive breast, patients with a negative one."""
    whose = np.asarray(patients, dtype=np.str_)
    return int(np.unique(whose[positive]).size), int(np.unique(whose[~positive]).size)


def _defined(values: Floats) -> NDArray[np.float64]:
    kept = values[~np.isnan(values)]
    if not kept.size:
        raise _one_class(values.size)
    return kept


def _one_class(replicates: int) -> DatasetError:
    return DatasetError(f"none of {replicates} replicates held both classes; the split holds too few patients")
