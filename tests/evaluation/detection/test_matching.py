import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from tests.evaluation.detection.cases import random_images, shared_share

from tilebank.errors import DatasetError
from tilebank.evaluation.detection.images import BoxFilter, ImageDetections, SizeClasses
from tilebank.evaluation.detection.matching import match, overlaps_of
from tilebank.terms import Finding, ScoredBox, TileBox

ALL = BoxFilter()


def image(
    truth: Sequence[TileBox], found: Sequence[tuple[TileBox, float]], category: str = "mass", side: int = 100
) -> ImageDetections:
    findings = tuple(Finding("a", (category,), box) for box in truth)
    return ImageDetections("a", "p", side, side, findings, tuple(ScoredBox(box, score) for box, score in found))


def outcome(
    images: Sequence[ImageDetections], wanted: BoxFilter = ALL, iou: float = 0.25
) -> tuple[list[float], list[float]]:
    """Scores by which the wanted boxes were found, and of the false positives; both sorted."""
    matches = match(overlaps_of(images, iou=iou), wanted)
    return sorted(matches.box_scores.tolist()), sorted(matches.false_scores.tolist())


def by_hand(images: Sequence[ImageDetections], wanted: BoxFilter, iou: float) -> tuple[list[float], list[float]]:
    """The same from the rules' own words: again and again the best pair that is left, pixel by pixel."""
    boxes, false = [], []
    for one in images:
        targets = [f.box for f, chosen in zip(one.findings, wanted.of(one), strict=True) if chosen]
        others = [f.box for f, chosen in zip(one.findings, wanted.of(one), strict=True) if not chosen]
        left, free = list(one.detections), list(targets)
        while True:
            pairs = [(d.score, shared_share(d.box, box), d, box) for d in left for box in free]
            pairs = [pair for pair in pairs if pair[1] >= iou]
            if not pairs:
                break
            best = max(
                pairs, key=lambda p: (p[0], p[1], *(-n for n in corners(p[3])), *(-n for n in corners(p[2].box)))
            )
            boxes.append(best[0])
            left.remove(best[2])
            free.remove(best[3])
        boxes += [-np.inf] * len(free)
        false += [d.score for d in left if all(shared_share(d.box, box) < iou for box in others)]
    return sorted(boxes), sorted(false)


def corners(box: TileBox) -> tuple[int, int, int, int]:
    return box.x, box.y, box.width, box.height


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize(
    "wanted",
    [ALL, BoxFilter("mass"), BoxFilter("unknown"), BoxFilter(size="medium", sizes=SizeClasses("px", 12, 20))],
    ids=str,
)
def test_matching_is_that_of_its_rules_taken_literally(seed: int, tied: bool, wanted: BoxFilter) -> None:
    images = random_images(seed, tied=tied)
    assert outcome(images, wanted) == by_hand(images, wanted, 0.25)


def test_a_box_is_found_once_and_by_the_highest_score() -> None:
    box = TileBox(10, 10, 20, 20)
    assert outcome([image([box], [(box, 0.2), (TileBox(12, 12, 20, 20), 0.9)])]) == ([0.9], [0.2])


def test_a_detection_takes_the_box_it_overlaps_most_of_those_left() -> None:
    left, right = TileBox(0, 0, 20, 20), TileBox(10, 0, 20, 20)
    found = [(TileBox(1, 0, 20, 20), 0.9), (TileBox(2, 0, 20, 20), 0.8)]  # both nearer to the left one
    assert outcome([image([left, right], found)]) == ([0.8, 0.9], [])


def test_an_overlap_of_just_the_least_finds() -> None:
    truth, found = TileBox(0, 0, 20, 20), TileBox(0, 0, 20, 5)
    assert outcome([image([truth], [(found, 0.5)])], iou=0.25) == ([0.5], [])
    assert outcome([image([truth], [(found, 0.5)])], iou=0.26) == ([-np.inf], [0.5])


def test_a_hit_by_centre_asks_for_no_overlap_and_takes_the_box_it_overlaps_most() -> None:
    small, large = TileBox(40, 40, 6, 6), TileBox(30, 30, 40, 40)
    wide, beside = TileBox(0, 0, 86, 86), TileBox(45, 30, 50, 40)  # centres (43, 43) and (70, 50)

    def by_centre(truth: list[TileBox], found: list[tuple[TileBox, float]]) -> tuple[list[float], list[float]]:
        matches = match(overlaps_of([image(truth, found)], iou=0.25, hit="centre"), ALL)
        return sorted(matches.box_scores.tolist()), sorted(matches.false_scores.tolist())

    assert by_centre([small], [(wide, 0.5)]) == ([0.5], [])
    assert by_centre([large], [(beside, 0.5)]) == ([-np.inf], [0.5])  # on the far edge is outside
    assert by_centre([small, large], [(wide, 0.5), (small, 0.4)]) == ([0.4, 0.5], [])
    assert outcome([image([small], [(wide, 0.5)])]) == ([-np.inf], [0.5])


def test_a_hit_near_the_centre_reaches_half_a_diagonal_or_a_hundred_pixels() -> None:
    small, large = (
        TileBox(400, 400, 6, 6),
        TileBox(400, 400, 300, 400),
    )  # a diagonal of 500

    def finds(truth: TileBox, x: float, y: float) -> bool:
        mark = TileBox(int(x) - 20, int(y) - 30, 40, 60)
        matches = match(overlaps_of([image([truth], [(mark, 0.5)], side=2000)], iou=0.25, hit="near"), ALL)
        return bool(matches.box_scores[0] > -np.inf)

    assert [finds(small, 403 + away, 403) for away in (0, 99, 100)] == [True, True, False]
    assert [finds(large, 550, 600 + away) for away in (0, 249, 250)] == [True, True, False]


def test_detections_on_boxes_of_another_category_or_size_are_ignored_however_many() -> None:
    box = TileBox(10, 10, 20, 20)
    one = image([box], [(box, 0.9), (box, 0.8), (TileBox(60, 60, 20, 20), 0.7)], category="calcification")
    assert outcome([one], BoxFilter("mass")) == ([], [0.7])
    assert outcome([one], BoxFilter(size="large", sizes=SizeClasses("px", 30, 40))) == ([], [0.7])


def test_a_wanted_box_goes_before_one_to_be_ignored() -> None:
    wanted, other = Finding("a", ("mass",), TileBox(0, 0, 20, 20)), Finding("a", (), TileBox(4, 0, 20, 20))
    found = ScoredBox(TileBox(4, 0, 20, 20), 0.9)  # just the other one, but on the wanted one too
    assert outcome([ImageDetections("a", "p", 99, 99, (wanted, other), (found,))], BoxFilter("mass")) == ([0.9], [])


@pytest.mark.parametrize("seed", range(8))
def test_the_order_of_the_input_changes_nothing_where_scores_tie(seed: int) -> None:
    images = random_images(seed, tied=True)
    shuffled = [
        replace(
            one,
            findings=tuple(random.Random(seed).sample(one.findings, len(one.findings))),
            detections=tuple(random.Random(seed + 1).sample(one.detections, len(one.detections))),
        )
        for one in reversed(images)
    ]
    for wanted in (ALL, BoxFilter("mass")):
        assert outcome(images, wanted) == outcome(shuffled, wanted)


def test_tied_detections_are_matched_so_that_the_nearest_pair_comes_first() -> None:
    left, right = TileBox(0, 0, 20, 20), TileBox(8, 0, 20, 20)
    near, between = (TileBox(0, 0, 20, 20), 0.5), (TileBox(3, 0, 20, 20), 0.5)  # the second could take either
    assert outcome([image([left, right], [between, near])]) == ([0.5, 0.5], [])
    assert outcome([image([left, right], [near, between])]) == ([0.5, 0.5], [])


def test_impossible_input_is_named() -> None:
    one = image([TileBox(0, 0, 9, 9)], [])
    with pytest.raises(DatasetError, match="2 images, 1 different"):
        overlaps_of([one, one], iou=0.25)
    with pytest.raises(DatasetError, match="IoU of 0"):
        overlaps_of([one], iou=0)
    with pytest.raises(DatasetError, match="0 images"):
        overlaps_of([], iou=0.25)
