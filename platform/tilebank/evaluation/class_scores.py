"""Hold the class probabilities of a split beside its labels and patients.

Shapes: B breasts, C classes.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilebank.errors import DatasetError
from tilebank.evaluation.confusion_matrix import ClassLabels
from tilebank.evaluation.scores import assert_rows


@dataclass(frozen=True, eq=False)
class ScoredClasses:
    """The scored breasts of one split: a probability of each class (B, C), class (B,), patient and breast id.

    Raises DatasetError where they do not fit, scores are no probabilities, a class is missing, or a breast is there
    twice.
    """

    scores: NDArray[np.floating[Any]]
    labels: ClassLabels
    patients: tuple[str, ...]
    breast_ids: tuple[str, ...]

    def __post_init__(self) -> None:
        _assert_classes(self.scores, self.labels)
        assert_rows(self.labels.size, self.patients, self.breast_ids)

    @property
    def predicted(self) -> ClassLabels:
        """The class of the highest score (B,); of equal ones the lower."""
        return np.asarray(self.scores.argmax(axis=1))


@dataclass(frozen=True)
class ClassCounts:
    """Sample sizes: breasts and patients in all, and of each class (a patient may count in two)."""

    breasts: int
    by_class: tuple[int, ...]
    patients: int
    patients_by_class: tuple[int, ...]


def class_counts_of(scored: ScoredClasses) -> ClassCounts:
    """Breasts and patients of a split, whole and by class."""
    parts = [scored.labels == each for each in range(scored.scores.shape[1])]
    whose = np.asarray(scored.patients, dtype=np.str_)
    return ClassCounts(
        breasts=scored.labels.size,
        by_class=tuple(int(part.sum()) for part in parts),
        patients=len(np.unique(whose)),
        patients_by_class=tuple(len(np.unique(whose[part])) for part in parts),
    )


def _assert_classes(scores: NDArray[np.floating[Any]], labels: ClassLabels) -> None:
    if scores.ndim != 2 or labels.shape != (scores.shape[0],) or scores.shape[1] < 2:
        raise DatasetError(f"scores {scores.shape} and labels {labels.shape}; pass scores (breasts, classes)")
    if not np.isfinite(scores).all():
        raise DatasetError("some scores are not numbers; the head diverged or a vector is broken")
    if np.any(scores < 0) or not np.allclose(scores.sum(axis=1), 1, atol=1e-4):
        raise DatasetError("the scores of some breasts are not probabilities; pass the softmax of the logits")
    absent = sorted(set(range(scores.shape[1])) - set(labels.tolist()))
    strange = sorted(set(labels.tolist()) - set(range(scores.shape[1])))
    if absent or strange:
        raise DatasetError(
            f"labels must be 0 to {scores.shape[1] - 1} with a breast of each class; other labels: {strange or 'none'},"
            f" classes without a breast: {absent or 'none'}; check the label rule and the split"
        )
