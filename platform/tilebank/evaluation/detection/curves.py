"""Count boxes found and false positives at each threshold, for a split and for its bootstrap replicates by patient.

A threshold takes all detections of one score or none, so that ties are not ordered.

Shapes: K distinct scores of boxes found, R replicates (r of them at a time), P patients.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from tilebank.errors import DatasetError
from tilebank.evaluation.detection.matching import Matches, Places
from tilebank.evaluation.intervals.patient_draws import Patients, draw_counts
from tilebank.evaluation.intervals.resampling import Floats


@dataclass(frozen=True, eq=False)
class DetectionCurves:
    """Counts at score >= threshold, of one split (r = 1) or of replicates of it, at the scores where a box is found.

    Between two of them only false positives are added: no better point of a curve lies there.
    """

    thresholds: Floats  # (K,) descending
    true_positives: Floats  # (r, K)
    false_positives: Floats  # (r, K)
    boxes: Floats  # (r,)
    images: Floats  # (r,)


def curves_of(matches: Matches) -> DetectionCurves:
    """The curve of the split itself (r = 1). Raises DatasetError where no annotated box counts."""
    one = Patients(np.zeros(len(matches.patients), dtype=np.intp), 1)
    return _Counted.of(matches, one).curves(np.ones((1, 1)))


def curve_replicates(matches: Matches, *, replicates: int, seed: int) -> Iterator[DetectionCurves]:
    """The curves of replicates by patient, r at a time, R in all; matched once, because matching is by image.

    Raises DatasetError where no annotated box counts or there is one patient.
    """
    patients = Patients.of(matches.patients, len(matches.patients))
    counted = _Counted.of(matches, patients)
    widest = max(patients.count, counted.thresholds.size)
    for counts in draw_counts(patients.count, widest, replicates, seed):
        yield counted.curves(counts.astype(np.float64))


@dataclass(frozen=True, eq=False)
class _Counted:
    """What each patient adds at each threshold, and in all."""

    thresholds: Floats  # (K,)
    true_positives: sparse.csr_array  # (K, P)
    false_positives: sparse.csr_array  # (K, P)
    boxes: Floats  # (P,)
    images: Floats  # (P,)

    @classmethod
    def of(cls, matches: Matches, patients: Patients) -> "_Counted":
        if not matches.box_scores.size:
            raise DatasetError("there is no annotated box to find; check the dataset's findings and the box filter")
        thresholds = -np.unique(-matches.box_scores[matches.box_scores > -np.inf])

        def table(scores: Floats, images: Places) -> sparse.csr_array:
            first = np.searchsorted(-thresholds, -scores, side="left")  # the highest threshold that takes the score
            kept = first < thresholds.size
            cells = np.ones(int(kept.sum())), (first[kept], patients.place[images[kept]])
            return sparse.csr_array(cells, shape=(thresholds.size, patients.count))  # equal cells add up

        return cls(
            thresholds,
            table(matches.box_scores, matches.box_images),
            table(matches.false_scores, matches.false_images),
            np.bincount(patients.place[matches.box_images], minlength=patients.count).astype(np.float64),
            np.bincount(patients.place, minlength=patients.count).astype(np.float64),
        )

    def curves(self, counts: Floats) -> DetectionCurves:
        """The curves of replicates; counts (r, P) says how often each patient is in each."""
        true_positives, false_positives = (
            np.cumsum((table @ counts.T).T, axis=1) for table in (self.true_positives, self.false_positives)
        )
        return DetectionCurves(
            self.thresholds, true_positives, false_positives, counts @ self.boxes, counts @ self.images
        )
