"""Compute bootstrap replicates of a statistic, resampling patients with all of their breasts.

Breasts of one patient are not independent, so the patient is the unit that is drawn (Rutter, Academic Radiology 7:413,
2000); see `patient_draws`. A replicate in which a statistic is not defined (a single class has no ROC) is a NaN.

Shapes: R replicates (r of them at a time), P patients, B breasts, K distinct scores.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tilebank.evaluation.intervals.patient_draws import Patients, draw_counts
from tilebank.evaluation.metrics import Labels, Scores, positives_of

Statistic: TypeAlias = Callable[[Scores, Labels], float]
Floats: TypeAlias = NDArray[np.float64]


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
        predicted = np.maximum(true_positives + false_positives, 1.0)  # none predicted yet: no recall gained
        gained = np.diff(true_positives, axis=1, prepend=0.0)  # (r, K)
        both = (true_positives[:, -1] > 0) & (false_positives[:, -1] > 0)
        summed = np.einsum("rk,rk->r", gained, true_positives / predicted)
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
        predicted = np.cumsum(ordered, axis=1, dtype=np.float64)[:, last]
        true_positives = np.cumsum(ordered * positive[order], axis=1, dtype=np.float64)[:, last]
        yield true_positives, predicted - true_positives


def sum_replicates(columns: Floats, patients: Sequence[str], *, replicates: int, seed: int) -> Floats:
    """Sums of columns (B, C) over the breasts drawn: (R, C). A mean or a rate is a ratio of two of them."""
    drawn = Patients.of(patients, len(columns))
    of_patient = np.zeros((drawn.count, columns.shape[1]))
    np.add.at(of_patient, drawn.place, columns)
    counts = draw_counts(drawn.count, len(columns), replicates, seed)
    return np.concatenate([chunk.astype(np.float64) @ of_patient for chunk in counts])


def rate_replicates(
    scores: Scores, labels: Labels, patients: Sequence[str], *, threshold: float, replicates: int, seed: int
) -> Floats:
    """Sensitivity and specificity of every replicate (2, R) at a threshold that was fixed elsewhere."""
    positive, predicted = positives_of(scores, labels), scores >= threshold
    columns = np.stack([predicted & positive, positive, ~predicted & ~positive, ~positive], axis=1).astype(np.float64)
    sums = sum_replicates(columns, patients, replicates=replicates, seed=seed)  # (R, 4)
    both = (sums[:, 1] > 0) & (sums[:, 3] > 0)
    of_class = np.where(both[:, None], sums[:, [1, 3]], 0.0)  # (R, 2) neither rate is kept without the other
    return np.asarray(_ratio(sums[:, [0, 2]], of_class).T)


def _weights(patients: Sequence[str], breasts: int, replicates: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """How often each breast stands in each replicate: (r, B) at a time, R in all."""
    drawn = Patients.of(patients, breasts)
    for counts in draw_counts(drawn.count, breasts, replicates, seed):
        yield counts[:, drawn.place]


def _both_classes(weights: NDArray[np.int64], positive: NDArray[np.bool_]) -> NDArray[np.bool_]:
    positives = weights @ positive
    return np.asarray((positives > 0) & (positives < weights.sum(axis=1)))


def _ratio(above: Floats, below: Floats) -> Floats:
    """NaN where there is nothing below."""
    return np.asarray(np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0))
