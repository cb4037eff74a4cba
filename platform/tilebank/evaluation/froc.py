"""Curves of detections against annotated boxes: FROC, precision and recall, what follows from them, and replicates.

Knows matches; nothing of boxes. All boxes that count are in recall's denominator, found or not; all images are in that
of false positives, with and without boxes. A threshold takes all detections of one score or none, so that ties are not
ordered. FROC: Bunch et al., Proc. SPIE 127:124 (1977); Chakraborty, Medical Physics 16:561 (1989).

Shapes: K distinct scores of boxes found, R replicates (r of them at a time), P patients, X rates of false positives.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from tilebank.errors import DatasetError
from tilebank.evaluation.detection_matching import Matches, Places
from tilebank.evaluation.draws import Patients, draw_counts
from tilebank.evaluation.resampling import Floats


@dataclass(frozen=True, eq=False)
class DetectionCurves:
    """Counts at score >= threshold, of one split (r = 1) or of replicates of it, at the scores where a box is found.

    Between two of them come false positives alone: no better point of a curve lies there.
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
    """The curves of replicates by patient, r at a time, R in all; matched once, for matching knows one image alone.

    Raises DatasetError where no annotated box counts or there is one patient.
    """
    patients = Patients.of(matches.patients, len(matches.patients))
    counted = _Counted.of(matches, patients)
    widest = max(patients.count, counted.thresholds.size)
    for counts in draw_counts(patients.count, widest, replicates, seed):
        yield counted.curves(counts.astype(np.float64))


def average_precisions(curves: DetectionCurves) -> Floats:
    """Area under the precision envelope over recall (r,), NaN where a replicate holds no box.

    The precision at a recall is the highest at that recall or a higher one, as PASCAL VOC has it since 2010 (Everingham
    et al., IJCV 88:303); recall that is never reached adds nothing.
    """
    found, called = curves.true_positives, curves.true_positives + curves.false_positives
    precision = np.divide(found, called, out=np.zeros(found.shape), where=called > 0)  # (r, K)
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    summed = np.einsum("rk,rk->r", np.diff(found, axis=1, prepend=0.0), envelope)
    return _share(summed, curves.boxes)


def sensitivities_at(curves: DetectionCurves, rates: Sequence[float]) -> Floats:
    """Share of the boxes that are found at each rate of false positives an image (r, X), NaN where there is no box.

    At the lowest threshold that makes no more of them: thresholds that exist, with nothing interpolated. Where all
    detections together make fewer, it is the share that any detection finds.
    """
    padded = np.pad(curves.true_positives, ((0, 0), (1, 0)))  # (r, 1 + K), nothing found above all scores
    rows = np.arange(len(padded))
    found = []
    for rate in rates:
        allowed = rate * curves.images + 1e-9  # rates such as 0.1 are not exact
        found.append(padded[rows, (curves.false_positives <= allowed[:, None]).sum(axis=1)])
    return _share(np.stack(found, axis=1), curves.boxes[:, None])


def threshold_at(curves: DetectionCurves, rate: float) -> float:
    """The score from which a split's detections count for `sensitivities_at` this rate; infinity where none may.

    Chosen on validation, it is what a test split's detections are held against.
    """
    allowed = int((curves.false_positives[0] <= rate * curves.images[0] + 1e-9).sum())
    return float(curves.thresholds[allowed - 1]) if allowed else float("inf")


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
            raise DatasetError("no annotated box counts, and nothing can be found; see the dataset's findings")
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
        """Of patients who stand in each replicate so often: counts (r, P)."""
        true_positives, false_positives = (
            np.cumsum((table @ counts.T).T, axis=1) for table in (self.true_positives, self.false_positives)
        )
        return DetectionCurves(
            self.thresholds, true_positives, false_positives, counts @ self.boxes, counts @ self.images
        )


def _share(above: Floats, below: Floats) -> Floats:
    below = np.broadcast_to(below, above.shape)
    return np.asarray(np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0))
