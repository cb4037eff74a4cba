"""Compare two heads or encoders on the same breasts: differences with intervals and p-values.

Replicates draw the same patients for both (see `resampling`), so the difference keeps what the two share. The p-value
inverts the interval of `bootstrap`: from the smaller share of replicates on either side of no difference, with one
added to each side so that it is never 0 (Davison & Hinkley 1997, sections 4.2 and 5.4; North, Curtis & Sham, American
Journal of Human Genetics 71:439, 2002),

    p = 2 T(sqrt((n - 1) / n) * Phi^-1(share)),  T of Student's t with n - 1 degrees of freedom, n patients.

So it is below 0.05 where the 95 % interval leaves 0 out. DeLong's test stands beside it for the
comparison with papers that give it; it takes breasts as independent.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from scipy.special import ndtri, stdtr

from tilebank.errors import DatasetError
from tilebank.evaluation.intervals.bootstrap import interval_of, patients_of_rarer
from tilebank.evaluation.intervals.delong import DeLong, delong_test
from tilebank.evaluation.intervals.resampling import (
    Floats,
    auc_replicates,
    average_precision_replicates,
    rate_replicates,
)
from tilebank.evaluation.metrics import Labels, Scores, average_precision, operating_point, roc_auc
from tilebank.evaluation.scores import Estimate, ScoredBreasts

_Value: TypeAlias = Callable[[Any, Any], Any]
_Replicated: TypeAlias = Callable[..., Floats]


@dataclass(frozen=True)
class Difference:
    """A figure of the first minus that of the second, with its interval and the two-sided bootstrap p-value."""

    estimate: Estimate
    p_value: float


@dataclass(frozen=True)
class Comparison:
    """The first head against the second on the same test breasts. Rates are there where thresholds were given."""

    auc: Difference
    auprc: Difference
    delong: DeLong
    sensitivity: Difference | None = None
    specificity: Difference | None = None
    balanced_accuracy: Difference | None = None


def compare_scores(
    first: ScoredBreasts,
    second: ScoredBreasts,
    *,
    thresholds: tuple[float, float] | None = None,
    replicates: int = 2000,
    seed: int,
    level: float = 0.95,
) -> Comparison:
    """Compare two sets of scores of the same breasts, in any order; `thresholds` were chosen on validation.

    Raises DatasetError where breasts, labels or patients of the two differ.
    """
    second = _aligned(second, first)
    behind = patients_of_rarer(*_arrays(first))
    resampling = _Resampling(behind, replicates, seed, level)
    rates = {} if thresholds is None else _rates(first, second, thresholds, resampling)

    def differ(statistic: _Value, replicated: _Replicated) -> Difference:
        values = [float(statistic(each.scores, each.labels)) for each in (first, second)]
        drawn = [replicated(*_arrays(each), replicates=replicates, seed=seed) for each in (first, second)]  # (R,) each
        return resampling.difference(values[0] - values[1], drawn[0] - drawn[1])

    return Comparison(
        auc=differ(roc_auc, auc_replicates),
        auprc=differ(average_precision, average_precision_replicates),
        delong=delong_test(first.scores, second.scores, first.labels),
        **rates,
    )


def bootstrap_p_value(differences: Floats, *, patients: int) -> float:
    """Two-sided p-value of no difference from replicates (R,) of a difference, those that are NaN left out."""
    known = differences[~np.isnan(differences)]
    smaller = min(np.count_nonzero(known <= 0), np.count_nonzero(known >= 0))
    share = (smaller + 1) / (known.size + 1)
    if share >= 0.5:
        return 1.0
    degrees = max(patients, 2) - 1
    return float(2 * stdtr(degrees, np.sqrt(degrees / (degrees + 1)) * ndtri(share)))


def holm_p_values(p_values: Sequence[float]) -> list[float]:
    """The p-values corrected for their number, in the order given (Holm, Scandinavian J. Statistics 6:65, 1979)."""
    order = np.argsort(p_values, kind="stable")
    steps = np.asarray(p_values, dtype=np.float64)[order] * np.arange(len(p_values), 0, -1)
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return [float(value) for value in corrected]


@dataclass(frozen=True)
class _Resampling:
    patients: int  # of the rarer class
    replicates: int
    seed: int
    level: float

    def difference(self, value: float, replicated: Floats) -> Difference:
        interval = interval_of(replicated, patients=self.patients, level=self.level)
        return Difference(Estimate(value, interval), bootstrap_p_value(replicated, patients=self.patients))


def _rates(
    first: ScoredBreasts, second: ScoredBreasts, thresholds: tuple[float, float], resampling: _Resampling
) -> Mapping[str, Difference]:
    points, replicated = [], []
    for scored, threshold in zip((first, second), thresholds, strict=True):
        points.append(operating_point(scored.scores, scored.labels, threshold=threshold))
        replicated.append(
            rate_replicates(
                *_arrays(scored), threshold=threshold, replicates=resampling.replicates, seed=resampling.seed
            )
        )
    shift = replicated[0] - replicated[1]  # (2, R)
    both = np.vstack([shift, shift.mean(axis=0)])
    names = ("sensitivity", "specificity", "balanced_accuracy")
    gaps = [getattr(points[0], name) - getattr(points[1], name) for name in names]
    return {name: resampling.difference(gap, row) for name, gap, row in zip(names, gaps, both, strict=True)}


def _arrays(scored: ScoredBreasts) -> tuple[Scores, Labels, tuple[str, ...]]:
    return scored.scores, scored.labels, scored.patients


def _aligned(scored: ScoredBreasts, like: ScoredBreasts) -> ScoredBreasts:
    """The same scores in the order of the other's breasts."""
    if set(scored.breast_ids) != set(like.breast_ids):
        apart = sorted(set(scored.breast_ids) ^ set(like.breast_ids))
        raise DatasetError(
            f"{len(apart)} breasts have scores from only one of the two, such as {apart[:3]}; score both"
        )
    row = {breast_id: place for place, breast_id in enumerate(scored.breast_ids)}
    order = np.asarray([row[breast_id] for breast_id in like.breast_ids])
    patients = tuple(scored.patients[place] for place in order)
    if patients != like.patients or not np.array_equal(scored.labels[order] == 1, like.labels == 1):
        raise DatasetError("the two were scored against different labels or patients; evaluate both on one task")
    return ScoredBreasts(scored.scores[order], scored.labels[order], patients, like.breast_ids)
