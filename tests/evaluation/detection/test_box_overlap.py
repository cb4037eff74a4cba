import numpy as np
from tests.evaluation.detection.cases import random_box, shared_share

from tilebank.evaluation.detection.box_overlap import areas_of, corners_of, intersections, iou_of, suppress
from tilebank.terms import TileBox


def test_overlaps_are_those_of_counted_pixels() -> None:
    rng = np.random.default_rng(0)
    first, second = [random_box(rng) for _ in range(12)], [random_box(rng) for _ in range(9)]
    expected = [[shared_share(one, other) for other in second] for one in first]
    np.testing.assert_allclose(iou_of(corners_of(first), corners_of(second)), expected, rtol=1e-12)


def test_boxes_that_only_touch_share_nothing() -> None:
    corners = corners_of([TileBox(0, 0, 10, 10), TileBox(10, 0, 10, 10), TileBox(0, 10, 10, 10)])
    assert intersections(corners, corners).tolist() == np.diag(areas_of(corners)).tolist()


def test_no_boxes_have_no_overlaps() -> None:
    none, one = corners_of([]), corners_of([TileBox(0, 0, 10, 10)])
    assert iou_of(none, one).shape == (0, 1)
    assert suppress(none, iou=0.5) == []


def test_a_box_on_a_suppressed_one_stays() -> None:
    chain = corners_of([TileBox(0, 0, 10, 10), TileBox(4, 0, 10, 10), TileBox(8, 0, 10, 10)])
    assert suppress(chain, iou=0.25) == [0, 2]


def test_boxes_that_overlap_by_just_the_limit_both_stay() -> None:
    halves = corners_of([TileBox(0, 0, 10, 10), TileBox(0, 0, 10, 5)])
    assert suppress(halves, iou=0.5) == [0, 1]
    assert suppress(halves, iou=0.49) == [0]
