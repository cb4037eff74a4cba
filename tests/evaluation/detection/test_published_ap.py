from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from tests.evaluation.detection.cases import random_images, shared_share

from tilebank.errors import DatasetError
from tilebank.evaluation.detection.curves import curves_of
from tilebank.evaluation.detection.froc import average_precisions
from tilebank.evaluation.detection.images import BoxFilter, ImageDetections
from tilebank.evaluation.detection.matching import match, overlaps_of
from tilebank.evaluation.detection.published_ap import published_average_precision, published_image
from tilebank.evaluation.detection.published_boxes import PublishedBoxConfig, published_find_boxes
from tilebank.terms import Finding, ScoredBox, TileBox


def literal(images: Sequence[ImageDetections], category: str, low: float, high: float) -> float:
    """The recipe's words taken one by one: lists, loops, and the 2010 envelope with its sentinels."""
    scored: list[tuple[float, bool]] = []
    boxes = 0
    for one in images:
        targets = [f.box for f in one.findings if not category or category in f.categories]
        targets = [box for box in targets if low <= box.width * box.height < high]
        if not targets:
            continue
        boxes += len(targets)
        taken = []
        for detection in sorted(one.detections, key=lambda d: d.score, reverse=True):
            shares = [shared_share(detection.box, box) for box in targets]
            best = shares.index(max(shares))
            hit = max(shares) >= 0.25 and best not in taken
            taken += [best] if hit else []
            scored.append((detection.score, hit))
    scored.sort(key=lambda row: -row[0])
    recalls, precisions, found = [0.0], [0.0], 0
    for place, (_, hit) in enumerate(scored):
        found += hit
        recalls.append(found / boxes)
        precisions.append(found / (place + 1))
    recalls.append(1.0)
    precisions.append(0.0)
    for place in range(len(precisions) - 1, 0, -1):
        precisions[place - 1] = max(precisions[place - 1], precisions[place])
    return sum((recalls[n + 1] - recalls[n]) * precisions[n + 1] for n in range(len(recalls) - 1))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("category", ["", "mass"])
def test_average_precision_is_that_of_the_recipe_taken_literally(seed: int, category: str) -> None:
    images = random_images(seed, images=20)
    assert published_average_precision(images, category=category) == pytest.approx(literal(images, category, 0, np.inf))


@pytest.mark.parametrize(
    ("size", "low", "high"), [("small", 0, 128**2), ("medium", 128**2, 256**2), ("large", 256**2, np.inf)]
)
def test_sizes_filter_annotated_boxes_alone(size: str, low: float, high: float) -> None:
    images = [grown(one, 11) for one in random_images(5, images=40)]
    assert published_average_precision(images, size=size) == pytest.approx(literal(images, "", low, high))


def grown(one: ImageDetections, factor: int) -> ImageDetections:
    def grow(box: TileBox) -> TileBox:
        return TileBox(*(factor * side for side in (box.x, box.y, box.width, box.height)))

    findings = tuple(replace(f, box=grow(f.box)) for f in one.findings)
    detections = tuple(ScoredBox(grow(d.box), d.score) for d in one.detections)
    return replace(one, rows=factor * one.rows, columns=factor * one.columns, findings=findings, detections=detections)


BOX, OTHER, ELSEWHERE = TileBox(10, 10, 20, 20), TileBox(40, 40, 20, 20), TileBox(70, 70, 20, 20)


def image(name: str, truth: Sequence[tuple[str, TileBox]], found: Sequence[tuple[TileBox, float]]) -> ImageDetections:
    findings = tuple(Finding(name, (category,), box) for category, box in truth)
    return ImageDetections(name, name, 100, 100, findings, tuple(ScoredBox(box, score) for box, score in found))


def fair(images: Sequence[ImageDetections], category: str) -> float:
    return float(average_precisions(curves_of(match(overlaps_of(images, iou=0.25), BoxFilter(category))))[0])


def test_false_positives_on_normal_images_are_never_seen() -> None:
    ill = image("a", [("mass", BOX)], [(BOX, 0.5)])
    normal = image("b", [], [(ELSEWHERE, 0.9)] * 3)
    assert published_average_precision([ill, normal]) == 1.0
    assert fair([ill, normal], "") == pytest.approx(1 / 4)


def test_a_detection_of_another_category_is_false_there_and_ignored_here() -> None:
    both = image("a", [("mass", BOX), ("calcification", OTHER)], [(OTHER, 0.9), (BOX, 0.5)])
    assert published_average_precision([both], category="mass") == pytest.approx(1 / 2)
    assert fair([both], "mass") == 1.0


def test_without_detections_the_figure_is_zero_and_without_boxes_there_is_none() -> None:
    assert published_average_precision([image("a", [("mass", BOX)], [])]) == 0.0
    with pytest.raises(DatasetError, match="category calcification, size any"):
        published_average_precision([image("a", [("mass", BOX)], [])], category="calcification")
    with pytest.raises(DatasetError, match="no published size 'huge'"):
        published_average_precision([image("a", [("mass", BOX)], [])], size="huge")


def test_the_order_of_images_decides_nothing_where_scores_tie() -> None:
    images = random_images(2, tied=True)
    assert published_average_precision(images) == published_average_precision(images[::-1])


def test_an_image_goes_to_the_recipes_grid_with_its_boxes_and_its_map() -> None:
    near, outside = Finding("a", ("mass",), TileBox(90, 140, 60, 60)), Finding("a", ("mass",), TileBox(280, 380, 9, 9))
    y, x = np.mgrid[:400, :300]
    heights = np.exp(-((x - 120) ** 2 + (y - 170) ** 2) / (2 * 25.0**2))
    image = ImageDetections("a", "p", 400, 300, (near, outside), (), (120, 170), (0.1, 0.1))
    crop = TileBox(20, 20, 240, 340)
    boxes = published_find_boxes(heights, np.ones((400, 300), dtype=bool), PublishedBoxConfig(), crop=crop)
    moved = published_image(image, boxes, PublishedBoxConfig(), crop=crop)
    assert (moved.rows, moved.columns) == (1536, 1024)
    assert [one.box for one in moved.findings] == [TileBox(266, 536, 228, 269)]
    (found,) = moved.detections
    assert shared_share(found.box, moved.findings[0].box) > 0.7
    assert published_average_precision([moved], category="mass", size="medium") == 1.0
