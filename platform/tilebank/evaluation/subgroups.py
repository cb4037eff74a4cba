"""Evaluate one head on parts of the test split: by density, vendor, age band or views.

Every part is held against the threshold of the whole, as it would be in use. A part whose patients are too few gets its
counts and no figures: an interval of a handful of patients says less than it seems to. The parts are looked at side by
side and nothing is tested; differences between intervals that overlap are no finding (Wang et al., New England Journal
of Medicine 357:2189, 2007).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tilebank.errors import DatasetError
from tilebank.evaluation.intervals.bootstrap import auc_interval, rate_intervals
from tilebank.evaluation.metrics import Labels, Scores, operating_point, roc_auc
from tilebank.evaluation.scores import Counts, Estimate

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Subgroup:
    """One part of the test split; `withheld` says why there are no figures, and is empty where there are."""

    column: str
    value: str
    counts: Counts
    withheld: str = ""
    auc: Estimate | None = None
    sensitivity: Estimate | None = None
    specificity: Estimate | None = None


def evaluate_subgroups(
    scores: Scores,
    labels: Labels,
    patients: Sequence[str],
    groups: Sequence[str],
    *,
    column: str,
    threshold: float,
    minimum: int = 10,
    replicates: int = 2000,
    seed: int,
    level: float = 0.95,
) -> list[Subgroup]:
    """One entry a value of `groups` (B,), by name, those of an empty text last as `unknown`.

    A part needs `minimum` patients with a positive breast, and as many with a negative one. Raises DatasetError.
    """
    if len(groups) != scores.size or len(patients) != scores.size:
        raise DatasetError(f"{len(groups)} values of {column!r} for {scores.size} scores; pass one per breast")
    values, who = np.asarray(groups, dtype=np.str_), np.asarray(patients, dtype=np.str_)
    found = []
    for value in sorted(set(values.tolist()), key=lambda name: (not name, name)):
        part = values == value
        counts, withheld = _size(labels[part], who[part], minimum)
        if withheld:
            found.append(Subgroup(column, value or UNKNOWN, counts, withheld))
            continue
        kept = scores[part], labels[part], who[part].tolist()
        point = operating_point(*kept[:2], threshold=threshold)
        rates = rate_intervals(*kept, threshold=threshold, replicates=replicates, seed=seed, level=level)
        auc = auc_interval(*kept, replicates=replicates, seed=seed, level=level)
        found.append(
            Subgroup(
                column,
                value or UNKNOWN,
                counts,
                auc=Estimate(float(roc_auc(*kept[:2])), auc),
                sensitivity=Estimate(point.sensitivity, rates.sensitivity),
                specificity=Estimate(point.specificity, rates.specificity),
            )
        )
    return found


def _size(labels: Labels, patients: np.ndarray[tuple[int, ...], np.dtype[np.str_]], minimum: int) -> tuple[Counts, str]:
    positive = labels == 1
    counts = Counts(labels.size, int(positive.sum()), len(np.unique(patients)))
    for name, mask in (("positive", positive), ("negative", ~positive)):
        count = len(np.unique(patients[mask]))
        if count < max(minimum, 2):
            return counts, f"{count} patients with a {name} breast, fewer than {max(minimum, 2)}"
    return counts, ""
