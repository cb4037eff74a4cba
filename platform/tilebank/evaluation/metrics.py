"""Compute classification metrics of scores against labels, on the exact ROC.

A breast is predicted positive where score >= threshold. Names that start with `published_` follow the looser rules of
the method's published code; use them only to compare with its tables.

Shapes: T trials, B breasts, K distinct scores.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from tilebank.errors import DatasetError

Scores: TypeAlias = NDArray[np.floating[Any]]
Labels: TypeAlias = NDArray[np.generic]  # 0 and 1, of any numeric or boolean type
_PUBLISHED_GRID = 100


@dataclass(frozen=True)
class OperatingPoint:
    """What one threshold does to one set of scores. `balanced_accuracy` is the mean of sensitivity and specificity."""

    threshold: float
    sensitivity: float
    specificity: float
    balanced_accuracy: float


@dataclass(frozen=True, eq=False)
class RocCurve:
    """Counts of breasts predicted positive at each distinct score, highest first; the point (0, 0) is left out."""

    thresholds: NDArray[np.floating[Any]]  # (K,) descending
    true_positives: NDArray[np.int64]  # (K,)
    false_positives: NDArray[np.int64]  # (K,)
    positives: int
    negatives: int

    def point(self, index: int) -> OperatingPoint:
        """The operating point of the threshold at `index`."""
        sensitivity = int(self.true_positives[index]) / self.positives
        specificity = (self.negatives - int(self.false_positives[index])) / self.negatives
        return OperatingPoint(float(self.thresholds[index]), sensitivity, specificity, (sensitivity + specificity) / 2)


def positives_of(scores: Scores, labels: Labels) -> NDArray[np.bool_]:
    """Mask (B,) of the positive breasts. Raises DatasetError unless scores and labels are (B,), no score is a NaN,
    and labels are 0 and 1 and both there."""
    if scores.ndim != 1:
        raise DatasetError(f"scores have shape {scores.shape}; pass one trial's scores (breasts,)")
    missing = int(np.isnan(scores).sum())
    if missing:
        raise DatasetError(
            f"{missing} of {scores.size} scores are not numbers; the head diverged or a vector is broken"
        )
    return _mask(labels, scores.size)


def assert_probabilities(scores: Scores) -> None:
    """Raises DatasetError unless every score is a number from 0 to 1."""
    outside = int(np.count_nonzero(~((scores >= 0) & (scores <= 1))))
    if outside:
        raise DatasetError(f"{outside} of {scores.size} scores are not probabilities; pass the sigmoid of the logits")


@overload
def roc_auc(scores: np.ndarray[tuple[int], np.dtype[np.floating[Any]]], labels: Labels) -> float: ...
@overload
def roc_auc(scores: np.ndarray[tuple[int, int], np.dtype[np.floating[Any]]], labels: Labels) -> NDArray[np.float64]: ...
def roc_auc(scores: Scores, labels: Labels) -> float | NDArray[np.float64]:
    """Area under the ROC of scores (B,), a float, or of each trial of scores (T, B), an array (T,).

    The share of (positive, negative) pairs in the right order, ties a half: the Mann-Whitney form of Hanley & McNeil,
    Radiology 143:29 (1982). A trial that holds a NaN gets NaN, so that it loses every comparison and does not stop its
    pack; in scores (B,) a NaN raises DatasetError, as a single class does in either shape.
    """
    if scores.ndim == 1:
        return float(_pair_shares(scores[None, :], positives_of(scores, labels))[0])
    if scores.ndim != 2:
        raise DatasetError(f"scores have shape {scores.shape}; pass (trials, breasts) or (breasts,)")
    shares = _pair_shares(scores, _mask(labels, scores.shape[1]))
    return np.where(np.isnan(scores).any(axis=1), np.nan, shares)  # (T,)


def roc_curve(scores: Scores, labels: Labels) -> RocCurve:
    """Every point of the empirical ROC of scores (B,), tied scores taken together. Raises DatasetError."""
    positive = positives_of(scores, labels)
    thresholds, level = np.unique(-scores, return_inverse=True)  # (K,) ascending in -score, (B,)
    true_positives = np.cumsum(np.bincount(level[positive], minlength=thresholds.size))
    false_positives = np.cumsum(np.bincount(level[~positive], minlength=thresholds.size))
    return RocCurve(-thresholds, true_positives, false_positives, int(positive.sum()), int((~positive).sum()))


def average_precision(scores: Scores, labels: Labels) -> float:
    """Area under the precision-recall curve: the sum of recall gained times precision there, without interpolation.

    Interpolating between points of a precision-recall curve is too good to be true (Davis & Goadrich, ICML 2006); the
    sum over thresholds is average precision as retrieval has it (Buckley & Voorhees, SIGIR 2000). A score without any
    skill gets the prevalence.
    """
    curve = roc_curve(scores, labels)
    precision = curve.true_positives / (curve.true_positives + curve.false_positives)  # (K,)
    return float(np.sum(np.diff(curve.true_positives, prepend=0) * precision) / curve.positives)


def operating_point(scores: Scores, labels: Labels, *, threshold: float) -> OperatingPoint:
    """What a threshold that was fixed elsewhere does to scores (B,). Raises DatasetError for one class or a NaN.

    Sensitivity and specificity after Yerushalmy, Public Health Reports 62:1432 (1947); the balanced accuracy is their
    mean (Brodersen et al., ICPR 2010).
    """
    positive = positives_of(scores, labels)
    if np.isnan(threshold):
        raise DatasetError("the threshold is not a number; choose it on validation scores that are finite")
    predicted = scores >= threshold
    sensitivity = float(predicted[positive].mean())
    specificity = float((~predicted[~positive]).mean())
    return OperatingPoint(threshold, sensitivity, specificity, (sensitivity + specificity) / 2)


def specificity_at_sensitivity(scores: Scores, labels: Labels, *, sensitivity: float = 0.9) -> OperatingPoint:
    """The ROC point of largest specificity among those that reach `sensitivity`; of equals, the most sensitive.

    A point of the empirical ROC, never between two of them: no threshold lies there (Fawcett, Pattern Recognition
    Letters 27:861, 2006).
    """
    if not 0 < sensitivity <= 1:
        raise DatasetError(f"a sensitivity of {sensitivity} is not possible; pass a value above 0 and up to 1")
    curve = roc_curve(scores, labels)
    reaching = np.flatnonzero(curve.true_positives / curve.positives >= sensitivity)
    fewest = curve.false_positives[reaching[0]]
    return curve.point(int(reaching[curve.false_positives[reaching] == fewest][-1]))


def threshold_at_sensitivity(scores: Scores, labels: Labels, *, sensitivity: float = 0.9) -> float:
    """The threshold of `specificity_at_sensitivity`: choose it on validation, apply it with `operating_point`."""
    return specificity_at_sensitivity(scores, labels, sensitivity=sensitivity).threshold


def youden_threshold(scores: Scores, labels: Labels) -> float:
    """The threshold of largest balanced accuracy (Youden, Cancer 3:32, 1950); of equals, the most sensitive."""
    curve = roc_curve(scores, labels)
    # Counts, not rates: two equal points must compare as equal.
    gain = curve.true_positives * curve.negatives - curve.false_positives * curve.positives  # (K,)
    return float(curve.thresholds[np.flatnonzero(gain == gain.max())[-1]])


def published_spec_at_sens(scores: Scores, labels: Labels, *, sensitivity: float = 0.9) -> float:
    """Spec@Sens by the published code's rule, for comparison only; 0.0 where no grid point reaches `sensitivity`.

    It tries 100 evenly spaced probabilities, calls score > threshold positive, and takes the best one on the split that
    it reports. So it is optimistic, and it loses specificity where a head's probabilities lie close together.
    """
    reached, specificity = _published_rates(scores, labels)
    return float(specificity[reached >= sensitivity].max(initial=0.0))


def published_bacc(scores: Scores, labels: Labels, *, sensitivity_weight: float = 0.5) -> float:
    """Balanced accuracy by the published code's rule: the best of the same 100 thresholds on the reported split.

    That code weighs sensitivity by 0.5 and by 0.75, and its tables do not say by which.
    """
    sensitivity, specificity = _published_rates(scores, labels)
    return float((sensitivity_weight * sensitivity + (1 - sensitivity_weight) * specificity).max())


def _mask(labels: Labels, breasts: int) -> NDArray[np.bool_]:
    if labels.shape != (breasts,):
        raise DatasetError(f"labels {labels.shape} do not fit scores of {breasts} breasts; pass one label per breast")
    positive = labels == 1
    strange = labels[~positive & (labels != 0)]
    if strange.size:
        raise DatasetError(
            f"{strange.size} labels are neither 0 nor 1, such as {strange[0]!s}; leave those breasts out"
        )
    count = int(np.count_nonzero(positive))
    if count in (0, breasts):
        raise DatasetError(
            f"{count} positive and {breasts - count} negative breasts, but a ROC needs both classes; "
            "check the label rule and the split"
        )
    return np.asarray(positive)


def _pair_shares(scores: Scores, positive: NDArray[np.bool_]) -> NDArray[np.float64]:
    # Sort the two classes apart and look one up in the other: half the time of ranking all scores with their ties.
    negatives = np.sort(scores[:, ~positive], axis=1)  # (T, negatives)
    positives = np.sort(scores[:, positive], axis=1)  # (T, positives)
    below = [np.searchsorted(n, p, side="left").sum() for n, p in zip(negatives, positives, strict=True)]
    up_to = [np.searchsorted(n, p, side="right").sum() for n, p in zip(negatives, positives, strict=True)]
    pairs = 2.0 * negatives.shape[1] * positives.shape[1]
    return np.asarray([(b + u) / pairs for b, u in zip(below, up_to, strict=True)], dtype=np.float64)  # (T,)


def _published_rates(scores: Scores, labels: Labels) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    positive = positives_of(scores, labels)
    assert_probabilities(scores)
    predicted = scores[:, None] > np.linspace(0, 1, _PUBLISHED_GRID)  # (B, grid)
    return predicted[positive].mean(axis=0), (~predicted[~positive]).mean(axis=0)
