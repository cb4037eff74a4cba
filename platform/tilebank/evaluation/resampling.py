"""Replicates of a statistic by resampling patients, all of a patient's breasts together. Makes no interval of them.

Breasts of one patient are not independent, so the patient is the unit that is drawn (Rutter, Academic Radiology 7:413,
2000). Draws follow the sorted patient ids: replicate i of one seed holds the same patients for every statistic, every
head and every order of rows, so replicates of two heads can be subtracted. A replicate in which a statistic is not
defined (one class alone has no ROC) is a NaN.

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


def statistic_replicates(
    statistic: Statistic, scores: Scores, labels: Labels, patients: Sequence[str], *, replicates: int, seed: int
) -> Floats:
    """Any `statistic(scores, labels)`, called once a replicate on the breasts that were drawn: (R,)."""
    positive = positives_of(scores, labels)
    rows = np.arange(scores.size)
    values = []
    for weights in _weights(patients, scores.size, replicates, seed):  # (r, B)
        for row, both in zip(weights, _both_classes(weights, positive), strict=True):
            drawn = np.repeat(rows, row)
            values.append(statistic(scores[drawn], labels[drawn]) if both else np.nan)
    return np.asarray(values, dtype=np.float64)


def auc_replicates(scores: Scores, labels: Labels, patients: Sequence[str], *, replicates: int, seed: int) -> Floats:
    """`roc_auc` of every replicate (R,), all at once from one sort."""
    values = []
    for true_positives, false_positives in roc_replicates(scores, labels, patients, replicates=replicates, seed=seed):
        steps = np.diff(false_positives, axis=1, prepend=0.0)  # (r, K)
        twice_area = np.einsum("rk,rk->r", steps, true_positives)
        twice_area += np.einsum("rk,rk->r", steps[:, 1:], true_positives[:, :-1])
        pairs = true_positives[:, -1] * false_positives[:, -1]
        values.append(_ratio(twice_area, 2.0 * pairs))
    return np.concatenate(values)


def average_precision_replicates(
    scores: Scores, labels: Labels, patients: Sequence[str], *, replicates: int, seed: int
) -> Floats:
    """`average_precision` of every replicate (R,), all at once from one sort."""
    values = []
    for true_positives, false_positives in roc_replicates(scores, labels, patients, replicates=replicates, seed=seed):
        called = np.maximum(true_positives + false_positives, 1.0)  # none called yet: no recall gained there either
        gained = np.diff(true_positives, axis=1, prepend=0.0)  # (r, K)
        both = (true_positives[:, -1] > 0) & (false_positives[:, -1] > 0)
        summed = np.einsum("rk,rk->r", gained, true_positives / called)
        values.append(_ratio(summed, np.where(both, true_positives[:, -1], 0.0)))
    return np.concatenate(values)


def roc_replicates(
    scores: Scores, labels: Labels, patients: Sequence[str], *, replicates: int, seed: int
) -> Iterator[tuple[Floats, Floats]]:
    """True and false positives (r, K) at each distinct score, highest first: (r, K) at a time, R in all.

    Counts are whole numbers far below 2**53, so floats hold them exactly.
    """
    positive = positives_of(scores, labels)
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), scores.size - 1)  # (K,) where equal scores end
    for weights in _weights(patients, scores.size, replicates, seed):  # (r, B)
        ordered = weights[:, order]
        called = np.cumsum(ordered, axis=1, dtype=np.float64)[:, last]
        true_positives = np.cumsum(ordered * positive[order], axis=1, dtype=np.float64)[:, last]
        yield true_positives, called - true_positives


def sum_replicates(columns: Floats, patients: Sequence[str], *, replicates: int, seed: int) -> Floats:
    """Sums of columns (B, C) over the breasts drawn: (R, C). A mean or a rate is a ratio of two of them."""
    drawn = _Patients.of(patients, len(columns))
    of_patient = np.zeros((drawn.count, columns.shape[1]))
    np.add.at(of_patient, drawn.place, columns)
    counts = _counts(drawn.count, len(columns), replicates, seed)
    return np.concatenate([chunk.astype(np.float64) @ of_patient for chunk in counts])


def rate_replicates(
    scores: Scores, labels: Labels, patients: Sequence[str], *, threshold: float, replicates: int, seed: int
) -> Floats:
    """Sensitivity and specificity of every replicate (2, R) at a threshold that was fixed elsewhere."""
    positive, called = positives_of(scores, labels), scores >= threshold
    columns = np.stack([called & positive, positive, ~called & ~positive, ~positive], axis=1).astype(np.float64)
    sums = sum_replicates(columns, patients, replicates=replicates, seed=seed)  # (R, 4)
    both = (sums[:, 1] > 0) & (sums[:, 3] > 0)
    of_class = np.where(both[:, None], sums[:, [1, 3]], 0.0)  # (R, 2) neither rate is kept without the other
    return np.asarray(_ratio(sums[:, [0, 2]], of_class).T)


@dataclass(frozen=True, eq=False)
class _Patients:
    place: NDArray[np.intp]  # (B,) 0..P-1 by sorted id
    count: int

    @classmethod
    def of(cls, patients: Sequence[str], breasts: int) -> "_Patients":
        if len(patients) != breasts:
            raise DatasetError(f"{len(patients)} patient ids for {breasts} scores; pass the patient of every breast")
        names, place = np.unique(np.asarray(patients, dtype=np.str_), return_inverse=True)
        if names.size < 2:
            raise DatasetError("one patient can not be resampled; an interval needs two or more")
        return cls(place, int(names.size))


def _weights(patients: Sequence[str], breasts: int, replicates: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """How often each breast stands in each replicate: (r, B) at a time, R in all."""
    drawn = _Patients.of(patients, breasts)
    for counts in _counts(drawn.count, breasts, replicates, seed):
        yield counts[:, drawn.place]


def _counts(patients: int, breasts: int, replicates: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """How often each patient was drawn: (r, P) at a time. The size of a piece changes no draw."""
    if replicates < 1:
        raise DatasetError(f"{replicates} replicates give no interval; ask for 1000 or more")
    rng = np.random.default_rng(seed)
    at_once = max(1, _CELLS_AT_ONCE // breasts)
    for start in range(0, replicates, at_once):
        rows = min(at_once, replicates - start)
        drawn = rng.integers(0, patients, size=(rows, patients))  # (r, P) patients, with replacement
        drawn += np.arange(rows)[:, None] * patients  # own bins for every replicate: one bincount for all
        yield np.bincount(drawn.ravel(), minlength=rows * patients).reshape(rows, patients)


def _both_classes(weights: NDArray[np.int64], positive: NDArray[np.bool_]) -> NDArray[np.bool_]:
    positives = weights @ positive
    return np.asarray((positives > 0) & (positives < weights.sum(axis=1)))


def _ratio(above: Floats, below: Floats) -> Floats:
    """NaN where there is nothing below."""
    return np.asarray(np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0))
