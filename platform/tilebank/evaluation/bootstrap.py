"""Intervals by resampling patients, all of a patient's breasts together. Knows nothing of what a statistic means.

Breasts of one patient are not independent, so the patient is the unit that is drawn (Rutter, Academic Radiology 7:413,
2000); intervals are percentiles of the replicates (Efron & Tibshirani 1993, chapter 13). A replicate that drew one
class alone has no ROC: it is left out, and counted. Draws follow the sorted patient ids, so an interval depends on the
seed and not on the order of rows.

Shapes: R replicates (r of them at a time), P patients, B breasts, K distinct scores.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tilebank.errors import DatasetError
from tilebank.evaluation.metrics import Labels, Scores, positives_of

Statistic: TypeAlias = Callable[[Scores, Labels], float]
Floats: TypeAlias = NDArray[np.float64]
_CELLS_AT_ONCE = 1_000_000  # replicates x breasts held at a time: 8 MB an array


@dataclass(frozen=True)
class Interval:
    """A percentile interval. `skipped` of the `replicates` drawn held one class alone and are not in it."""

    low: float
    high: float
    level: float
    replicates: int
    skipped: int


@dataclass(frozen=True, eq=False)
class RocBand:
    """Pointwise interval of the sensitivity at each false positive rate, all (F,)."""

    false_positive_rates: Floats
    low: Floats
    high: Floats


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
    ranked = _rank(scores, labels, patients)
    values = []
    for weights in _draw(ranked, replicates, seed):  # (r, B)
        for row in weights[_both_classes(weights, ranked)]:
            drawn = np.repeat(ranked.order, row)
            values.append(statistic(scores[drawn], labels[drawn]))
    return _interval(np.asarray(values), replicates=replicates, level=level)


def auc_interval(
    scores: Scores, labels: Labels, patients: Sequence[str], *, replicates: int = 2000, seed: int, level: float = 0.95
) -> Interval:
    """The interval of `roc_auc`: what `bootstrap_interval` gives, all replicates at once from one sort."""
    ranked = _rank(scores, labels, patients)
    values = []
    for true_positives, false_positives in _roc_counts(ranked, replicates, seed):  # (r, K)
        steps = np.diff(false_positives, axis=1, prepend=0.0)
        twice_area = np.einsum("rk,rk->r", steps, true_positives)
        twice_area += np.einsum("rk,rk->r", steps[:, 1:], true_positives[:, :-1])
        values.append(twice_area / (2.0 * true_positives[:, -1] * false_positives[:, -1]))
    return _interval(np.concatenate(values), replicates=replicates, level=level)


def average_precision_interval(
    scores: Scores, labels: Labels, patients: Sequence[str], *, replicates: int = 2000, seed: int, level: float = 0.95
) -> Interval:
    """The interval of `average_precision`, all replicates at once."""
    ranked = _rank(scores, labels, patients)
    values = []
    for true_positives, false_positives in _roc_counts(ranked, replicates, seed):  # (r, K)
        called = np.maximum(true_positives + false_positives, 1.0)  # none called yet: no recall gained there either
        gained = np.diff(true_positives, axis=1, prepend=0.0)
        values.append(np.einsum("rk,rk->r", gained, true_positives / called) / true_positives[:, -1])
    return _interval(np.concatenate(values), replicates=replicates, level=level)


def roc_band(
    scores: Scores, labels: Labels, patients: Sequence[str], *, replicates: int = 2000, seed: int, level: float = 0.95
) -> RocBand:
    """Percentiles of the replicates' ROC curves at 101 false positive rates: pointwise, no claim on a whole curve."""
    ranked = _rank(scores, labels, patients)
    rates = np.linspace(0, 1, 101)
    curves = []
    for true_positives, false_positives in _roc_counts(ranked, replicates, seed):  # (r, K)
        for tp, fp in zip(true_positives, false_positives, strict=True):
            curves.append(np.interp(rates, np.append(0.0, fp / fp[-1]), np.append(0.0, tp / tp[-1])))
    low, high = np.quantile(_some(np.asarray(curves), replicates), _tails(level), axis=0)  # (F,), (F,)
    return RocBand(rates, low, high)


@dataclass(frozen=True, eq=False)
class _Ranked:
    order: NDArray[np.intp]  # (B,) rows by falling score
    last: NDArray[np.intp]  # (K,) where each run of equal scores ends in `order`
    positive: NDArray[np.bool_]  # (B,) in `order`
    patient: NDArray[np.intp]  # (B,) in `order`, 0..P-1 by sorted id
    patients: int


def _rank(scores: Scores, labels: Labels, patients: Sequence[str]) -> _Ranked:
    positive = positives_of(scores, labels)
    if len(patients) != scores.size:
        raise DatasetError(f"{len(patients)} patient ids for {scores.size} scores; pass the patient of every breast")
    names, patient = np.unique(np.asarray(patients, dtype=np.str_), return_inverse=True)
    if names.size < 2:
        raise DatasetError("one patient can not be resampled; an interval needs two or more")
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    falls = np.flatnonzero(ranked[1:] != ranked[:-1])
    return _Ranked(order, np.append(falls, scores.size - 1), positive[order], patient[order], int(names.size))


def _draw(ranked: _Ranked, replicates: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """How often each breast, in `order`, stands in each replicate: (r, B) at a time, R in all."""
    if replicates < 1:
        raise DatasetError(f"{replicates} replicates give no interval; ask for 1000 or more")
    rng = np.random.default_rng(seed)
    at_once = max(1, _CELLS_AT_ONCE // ranked.order.size)
    for start in range(0, replicates, at_once):
        rows = min(at_once, replicates - start)
        drawn = rng.integers(0, ranked.patients, size=(rows, ranked.patients))  # (r, P) patients, with replacement
        drawn += np.arange(rows)[:, None] * ranked.patients  # own bins for every replicate: one bincount for all
        counts = np.bincount(drawn.ravel(), minlength=rows * ranked.patients).reshape(rows, ranked.patients)
        yield counts[:, ranked.patient]


def _both_classes(weights: NDArray[np.int64], ranked: _Ranked) -> NDArray[np.bool_]:
    positives = weights @ ranked.positive
    return np.asarray((positives > 0) & (positives < weights.sum(axis=1)))


def _roc_counts(ranked: _Ranked, replicates: int, seed: int) -> Iterator[tuple[Floats, Floats]]:
    """True and false positives (r, K) at each distinct score, of the replicates that hold both classes.

    Counts are whole numbers far below 2**53, so floats hold them exactly.
    """
    for weights in _draw(ranked, replicates, seed):  # (r, B)
        called = np.cumsum(weights, axis=1, dtype=np.float64)
        true_positives = np.cumsum(weights * ranked.positive, axis=1, dtype=np.float64)
        false_positives = called - true_positives
        both = (true_positives[:, -1] > 0) & (false_positives[:, -1] > 0)
        yield true_positives[both][:, ranked.last], false_positives[both][:, ranked.last]


def _interval(values: Floats, *, replicates: int, level: float) -> Interval:
    low, high = np.quantile(_some(values, replicates), _tails(level))
    return Interval(float(low), float(high), level, replicates, replicates - values.size)


def _tails(level: float) -> tuple[float, float]:
    if not 0 < level < 1:
        raise DatasetError(f"a level of {level} is no share of the replicates; pass 0.95 for a 95 % interval")
    return (1 - level) / 2, (1 + level) / 2


def _some(values: Floats, replicates: int) -> Floats:
    if not len(values):
        raise DatasetError(f"none of {replicates} replicates held both classes; the split holds too few patients")
    return values
