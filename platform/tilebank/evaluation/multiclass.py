"""Figures of tasks with more than two answers (density): scores of each class against a class number. Knows arrays.

Shapes: B breasts, C classes, R replicates.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilebank.errors import DatasetError
from tilebank.evaluation.bootstrap import interval_of
from tilebank.evaluation.metrics import roc_auc
from tilebank.evaluation.resampling import Floats, auc_replicates, sum_replicates
from tilebank.evaluation.scored import Estimate

ClassScores = NDArray[np.floating[Any]]  # (B, C) a probability of each class
ClassLabels = NDArray[np.integer[Any]]  # (B,) 0 to C - 1


@dataclass(frozen=True)
class ClassEvaluation:
    """Figures of scores of C classes, with patient-level intervals; `class_aucs` is each class against the others."""

    macro_auc: Estimate
    linear_kappa: Estimate
    accuracy: Estimate
    class_aucs: tuple[float, ...]
    breasts: tuple[int, ...]

    def as_metrics(self) -> dict[str, float]:
        """Flat names for the record of runs: `test_macro_auc`, `test_macro_auc_low`, ..., `test_auc_class_0`."""
        figures: dict[str, float] = {}
        for name in ("macro_auc", "linear_kappa", "accuracy"):
            estimate: Estimate = getattr(self, name)
            low, high = estimate.interval.low, estimate.interval.high
            figures |= {f"test_{name}": estimate.value, f"test_{name}_low": low, f"test_{name}_high": high}
        return figures | {f"test_auc_class_{place}": auc for place, auc in enumerate(self.class_aucs)}


def macro_auc(scores: ClassScores, labels: ClassLabels) -> float:
    """Mean over the classes of the AUC of each against all others, all classes alike (Fawcett, Pattern Recognition
    Letters 27:861, 2006, section 9). Raises DatasetError, as for a class without a breast."""
    _assert_classes(scores, labels)
    return float(np.mean(_class_aucs(scores, labels)))


def linear_kappa(labels: ClassLabels, called: ClassLabels, *, classes: int) -> float:
    """Agreement beyond chance of true and called class, a miss weighed by its distance (Cohen, Psychological Bulletin
    70:213, 1968; linear weights: Cicchetti & Allison, American Journal of EEG Technology 11:101, 1971).

    NaN where all breasts are of one class and called so: chance alone would agree.
    """
    return float(_kappa(_confusion(labels, called, classes=classes).sum(axis=0)[None, :])[0])


def evaluate_classes(
    scores: ClassScores,
    labels: ClassLabels,
    patients: Sequence[str],
    *,
    replicates: int = 2000,
    seed: int,
    level: float = 0.95,
) -> ClassEvaluation:
    """All figures of the scores of one split. The class that is called is the one with the highest score.

    A replicate without a breast of some class has no macro AUC and is left out of that interval, and counted.
    """
    classes = _assert_classes(scores, labels)
    called = scores.argmax(axis=1)
    table = _confusion(labels, called, classes=classes)  # (B, C * C)
    cells = sum_replicates(table, patients, replicates=replicates, seed=seed)  # (R, C * C)
    aucs = np.stack(
        [
            auc_replicates(scores[:, each], labels == each, patients, replicates=replicates, seed=seed)
            for each in range(classes)
        ]
    )  # (C, R)
    class_aucs = _class_aucs(scores, labels)
    agreed = cells[:, :: classes + 1].sum(axis=1) / cells.sum(axis=1)  # (R,) the diagonal
    whole = len(set(patients))
    rarest = min(
        len({who for who, label in zip(patients, labels, strict=True) if label == each}) for each in range(classes)
    )
    kappa = linear_kappa(labels, called, classes=classes)
    return ClassEvaluation(
        macro_auc=Estimate(float(np.mean(class_aucs)), interval_of(aucs.mean(axis=0), patients=rarest, level=level)),
        linear_kappa=Estimate(kappa, interval_of(_kappa(cells), patients=whole, level=level)),
        accuracy=Estimate(float(np.mean(called == labels)), interval_of(agreed, patients=whole, level=level)),
        class_aucs=class_aucs,
        breasts=tuple(int(count) for count in np.bincount(labels, minlength=classes)),
    )


def _class_aucs(scores: ClassScores, labels: ClassLabels) -> tuple[float, ...]:
    return tuple(float(roc_auc(scores[:, each], labels == each)) for each in range(scores.shape[1]))


def _confusion(labels: ClassLabels, called: ClassLabels, *, classes: int) -> Floats:
    """One row a breast, (B, C * C), 1 in the cell of its true (slow) and its called (fast) class."""
    rows = np.zeros((labels.size, classes * classes))
    rows[np.arange(labels.size), labels * classes + called] = 1
    return rows


def _kappa(cells: Floats) -> Floats:
    """Linear-weighted kappa of confusion tables (R, C * C): (R,)."""
    classes = round(cells.shape[1] ** 0.5)
    shares = (cells / cells.sum(axis=1, keepdims=True)).reshape(-1, classes, classes)  # (R, C, C)
    places = np.arange(classes)
    distance = np.abs(places[:, None] - places[None, :])  # (C, C)
    seen = np.einsum("rtc,tc->r", shares, distance)
    by_chance = np.einsum("rt,rc,tc->r", shares.sum(axis=2), shares.sum(axis=1), distance)
    return np.asarray(1.0 - np.divide(seen, by_chance, out=np.full(seen.shape, np.nan), where=by_chance > 0))


def _assert_classes(scores: ClassScores, labels: ClassLabels) -> int:
    """The number of classes."""
    if scores.ndim != 2 or scores.shape[0] != labels.size or scores.shape[1] < 2:
        raise DatasetError(f"scores {scores.shape} and {labels.size} labels; pass scores (breasts, classes)")
    if not np.isfinite(scores).all():
        raise DatasetError("some scores are not numbers; the head diverged or a vector is broken")
    absent = sorted(set(range(scores.shape[1])) - set(labels.tolist()))
    strange = sorted(set(labels.tolist()) - set(range(scores.shape[1])))
    if absent or strange:
        raise DatasetError(
            f"labels hold {strange or 'no others'} beyond classes 0 to {scores.shape[1] - 1} and no breast of classes"
            f" {absent or 'none'}; check the label rule and the split"
        )
    return int(scores.shape[1])
