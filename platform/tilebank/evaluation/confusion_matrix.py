"""Count true against predicted classes, and compute accuracy and kappa from the counts.

Everything takes tables (R, C, C) of counts, true class by predicted class, and gives one figure a table (R,): a split
is a single table, its replicates are many.

Shapes: B breasts, C classes, R tables.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilebank.evaluation.intervals.resampling import Floats

ClassLabels = NDArray[np.integer[Any]]  # (B,) 0 to C - 1


def confusion_rows(labels: ClassLabels, predicted: ClassLabels, *, classes: int) -> Floats:
    """One row per breast (B, C * C): 1 in the cell of its true (slow) and predicted (fast) class."""
    rows = np.zeros((labels.size, classes * classes))
    rows[np.arange(labels.size), labels * classes + predicted] = 1
    return rows


def accuracies(tables: Floats) -> Floats:
    """Share of the breasts whose class was predicted right."""
    return np.asarray(np.trace(tables, axis1=1, axis2=2) / tables.sum(axis=(1, 2)))


def balanced_accuracies(tables: Floats) -> Floats:
    """Mean over the classes of each one's recall (Brodersen et al., ICPR 2010); NaN where a class has no breast."""
    sizes = tables.sum(axis=2)  # (R, C)
    right = np.diagonal(tables, axis1=1, axis2=2)  # (R, C)
    return np.asarray(np.divide(right, sizes, out=np.full(right.shape, np.nan), where=sizes > 0).mean(axis=1))


def kappas(tables: Floats, *, power: int) -> Floats:
    """Agreement beyond chance, a miss weighed by its distance to the `power` (Cohen, Psychological Bulletin 70:213,
    1968): 1 is linear (Cicchetti & Allison, American Journal of EEG Technology 11:101, 1971), 2 quadratic (Fleiss &
    Cohen, Educational and Psychological Measurement 33:613, 1973).

    Takes the classes as ordered. NaN if all breasts are of one class and predicted so, because chance would agree too.
    """
    shares = tables / tables.sum(axis=(1, 2), keepdims=True)
    places = np.arange(tables.shape[1])
    distance = np.abs(places[:, None] - places[None, :]) ** power  # (C, C)
    seen = np.einsum("rtc,tc->r", shares, distance)
    by_chance = np.einsum("rt,rc,tc->r", shares.sum(axis=2), shares.sum(axis=1), distance)
    return np.asarray(1.0 - np.divide(seen, by_chance, out=np.full(seen.shape, np.nan), where=by_chance > 0))
