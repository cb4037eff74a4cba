import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from tests.evaluation.detection.cases import random_images

from tilebank.errors import DatasetError
from tilebank.evaluation.detection.curves import curve_replicates, curves_of
from tilebank.evaluation.detection.froc import average_precisions, precisions_at, sensitivities_at, threshold_at
from tilebank.evaluation.detection.images import BoxFilter, ImageDetections
from tilebank.evaluation.detection.matching import match, overlaps_of
from tilebank.evaluation.intervals.patient_draws import draw_counts
from tilebank.terms import Finding, ScoredBox, TileBox

BOX, ELSEWHERE = TileBox(10, 10, 20, 20), TileBox(60, 60, 20, 20)
RATES = (0.25, 0.5, 1.0, 2.0, 4.0)


def image(name: str, *, truth: bool, hits: Sequence[float] = (), false: Sequence[float] = ()) -> ImageDetections:
    found = [ScoredBox(BOX, score) for score in hits] + [ScoredBox(ELSEWHERE, score) for score in false]
    return ImageDetections(name, name, 100, 100, (Finding(name, ("mass",), BOX),) if truth else (), tuple(found))


# Four images, three boxes: by score .9 hit, .8 false (no box there), .7 hit, .6 and .5 false, .4 hit twice, once false.
WORKED = [
    image("a", truth=True, hits=[0.9], false=[0.6]),
    image("b", truth=True, hits=[0.7], false=[0.5]),
    image("c", truth=True, hits=[0.4, 0.4]),
    image("d", truth=False, false=[0.8]),
]


def curves(images: Sequence[ImageDetections], wanted: BoxFilter | None = None):  # type: ignore[no-untyped-def]
    return curves_of(match(overlaps_of(images, iou=0.25), wanted or BoxFilter()))


def copy_of(one: ImageDetections, number: int) -> ImageDetections:
    name = f"{one.image_id}-{number}"
    return replace(one, image_id=name, findings=tuple(replace(finding, image_id=name) for finding in one.findings))


def by_thresholds(images: Sequence[ImageDetections]) -> list[tuple[float, int, int, int]]:
    """Threshold, boxes found, false positives, boxes: each threshold's detections matched anew, without the others."""
    scores = {d.score for one in images for d in one.detections}
    rows = []
    for threshold in sorted(scores, reverse=True):
        kept = [replace(o, detections=tuple(d for d in o.detections if d.score >= threshold)) for o in images]
        matches = match(overlaps_of(kept, iou=0.25), BoxFilter())
        found = int((matches.box_scores > -np.inf).sum())
        rows.append((threshold, found, matches.false_scores.size, matches.box_scores.size))
    return rows


def test_froc_of_a_worked_case() -> None:
    worked = curves(WORKED)
    assert worked.thresholds.tolist() == [0.9, 0.7, 0.4]
    assert worked.true_positives.tolist() == [[1, 2, 3]]
    assert worked.false_positives.tolist() == [[0, 1, 4]]  # at 0.4 the second detection of the box comes with the first
    np.testing.assert_allclose(sensitivities_at(worked, (0.2, 0.25, 0.5, 1.0, 4.0)), [[1 / 3, 2 / 3, 2 / 3, 1, 1]])


def test_average_precision_of_a_worked_case() -> None:
    assert average_precisions(curves(WORKED))[0] == pytest.approx((1 + 2 / 3 + 3 / 7) / 3)
    np.testing.assert_allclose(precisions_at(curves(WORKED), (0, 1 / 3, 0.5, 1)), [[1, 1, 2 / 3, 3 / 7]])


def test_false_positives_on_images_without_boxes_lower_the_average_precision() -> None:
    with_boxes_alone = [one for one in WORKED if one.findings]
    assert average_precisions(curves(with_boxes_alone))[0] == pytest.approx((1 + 1 + 3 / 6) / 3)


def test_a_threshold_chosen_at_a_rate_gives_that_sensitivity_and_no_more_false_positives() -> None:
    worked = curves(WORKED)
    assert threshold_at(worked, 0.25) == 0.7
    assert threshold_at(worked, 4.0) == 0.4
    assert threshold_at(curves([image("a", truth=True, hits=[0.1], false=[0.9])]), 0.5) == np.inf


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("tied", [False, True])
def test_curves_are_those_of_every_threshold_matched_anew(seed: int, tied: bool) -> None:
    images = random_images(seed, tied=tied)
    rows = by_thresholds(images)
    boxes, size = rows[0][3], len(images)
    found = [max([hits for _, hits, false, _ in rows if false <= rate * size], default=0) / boxes for rate in RATES]
    np.testing.assert_allclose(sensitivities_at(curves(images), RATES)[0], found)
    area, before = 0.0, 0
    for place, (_, hits, _, _) in enumerate(rows):
        best = max(hits / (hits + false) for _, hits, false, _ in rows[place:])
        area, before = area + (hits - before) / boxes * best, hits
    assert average_precisions(curves(images))[0] == pytest.approx(area)


@pytest.mark.parametrize("seed", range(5))
def test_average_precision_is_that_of_pycocotools(seed: int) -> None:
    images = random_images(100 + seed, images=30)
    boxes = [
        {"id": 0, "image_id": place, "category_id": 1, "bbox": [f.box.x, f.box.y, f.box.width, f.box.height]}
        for place, one in enumerate(images)
        for f in one.findings
    ]
    for number, box in enumerate(boxes):
        box |= {"id": number + 1, "area": box["bbox"][2] * box["bbox"][3], "iscrowd": 0}
    truth = COCO()
    truth.dataset = {"images": [{"id": n} for n in range(30)], "annotations": boxes, "categories": [{"id": 1}]}
    truth.createIndex()
    rows = [
        [place, d.box.x, d.box.y, d.box.width, d.box.height, d.score, 1]
        for place, one in enumerate(images)
        for d in one.detections
    ]
    evaluation = COCOeval(truth, truth.loadRes(np.asarray(rows)), "bbox")
    evaluation.params.iouThrs = np.asarray([0.25])
    evaluation.params.recThrs = np.linspace(0, 1, 20001)[1:]  # theirs is a mean over recalls: so many are an area
    evaluation.params.maxDets = [100]
    evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e9]], ["all"]
    evaluation.evaluate()
    evaluation.accumulate()
    assert average_precisions(curves(images))[0] == pytest.approx(evaluation.eval["precision"].mean(), abs=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_figures_do_not_depend_on_the_order_of_images_boxes_or_detections(seed: int) -> None:
    images = random_images(seed, tied=True)
    draw = random.Random(seed)
    shuffled = [
        replace(one, detections=tuple(draw.sample(one.detections, len(one.detections))), findings=one.findings[::-1])
        for one in draw.sample(images, len(images))
    ]
    for figure in (average_precisions, lambda c: sensitivities_at(c, RATES)):
        assert figure(curves(images)).tolist() == figure(curves(shuffled)).tolist()


def test_replicates_are_curves_of_the_patients_drawn() -> None:
    images = random_images(3, images=24, tied=True)
    patients = sorted({one.patient_id for one in images})
    counts = np.concatenate(list(draw_counts(len(patients), 24, 40, 7)))  # (R, P)
    drawn = list(curve_replicates(match(overlaps_of(images, iou=0.25), BoxFilter()), replicates=40, seed=7))
    precisions = np.concatenate([average_precisions(some) for some in drawn])
    sensitivities = np.concatenate([sensitivities_at(some, RATES) for some in drawn])
    for row, precision, found in zip(counts, precisions, sensitivities, strict=True):
        times = [row[patients.index(one.patient_id)] for one in images]
        copies = [copy_of(one, number) for one, count in zip(images, times, strict=True) for number in range(count)]
        assert average_precisions(curves(copies))[0] == pytest.approx(precision)
        np.testing.assert_allclose(sensitivities_at(curves(copies), RATES)[0], found)


def test_without_detections_nothing_is_found_and_nothing_fails() -> None:
    empty = curves([replace(one, detections=()) for one in WORKED])
    assert average_precisions(empty).tolist() == [0.0]
    assert sensitivities_at(empty, RATES).tolist() == [[0.0] * 5]
    assert precisions_at(empty, (0.5,)).tolist() == [[0.0]]
    assert threshold_at(empty, 1.0) == np.inf


def test_without_annotated_boxes_there_is_no_curve() -> None:
    with pytest.raises(DatasetError, match="there is no annotated box to find"):
        curves([WORKED[3]])
    with pytest.raises(DatasetError, match="there is no annotated box to find"):
        curves(WORKED, BoxFilter("calcification"))
