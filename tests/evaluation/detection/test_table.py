from dataclasses import replace

import pytest
from tests.evaluation.detection.cases import random_images

from tilebank.errors import DatasetError
from tilebank.evaluation.detection.detection import evaluate_detection
from tilebank.evaluation.detection.images import BoxFilter, SizeClasses
from tilebank.evaluation.detection.report import DetectionConfig
from tilebank.evaluation.detection.table import DetectionRow, table_text, tabulate_detection

CONFIG, SIZES = DetectionConfig(), SizeClasses("mm", 8, 11)
IMAGES = random_images(1, images=90)


@pytest.fixture(scope="module")
def rows() -> list[DetectionRow]:
    return tabulate_detection(IMAGES, CONFIG, sizes=SIZES, minimum=10, replicates=50, seed=0)


def test_there_is_a_row_for_all_and_each_type_with_its_sizes(rows: list[DetectionRow]) -> None:
    sizes = ["", "small", "medium", "large"]
    types = ["", "calcification", "mass", "unknown"]
    assert [(row.category, row.size) for row in rows] == [(kind, size) for kind in types for size in sizes]


def test_sizes_add_up_to_their_type_and_boxes_of_two_types_count_in_both(rows: list[DetectionRow]) -> None:
    boxes = {(row.category, row.size): row.counts.boxes for row in rows}
    for kind in ("", "calcification", "mass", "unknown"):
        assert boxes[kind, ""] == sum(boxes[kind, size] for size in ("small", "medium", "large"))
    both = sum(len(finding.categories) == 2 for one in IMAGES for finding in one.findings)
    assert boxes["mass", ""] + boxes["calcification", ""] + boxes["unknown", ""] == boxes["", ""] + both
    assert both > 0


def test_a_row_holds_what_is_found_for_its_boxes_alone(rows: list[DetectionRow]) -> None:
    row = next(row for row in rows if (row.category, row.size) == ("mass", "medium"))
    wanted = BoxFilter("mass", "medium", SIZES)
    assert row.evaluation == evaluate_detection(IMAGES, CONFIG, wanted=wanted, replicates=50, seed=0)


def test_a_row_of_too_few_patients_keeps_its_counts_and_shows_no_figure() -> None:
    rows = tabulate_detection(IMAGES, CONFIG, sizes=SIZES, minimum=29, replicates=20, seed=0)
    few = [row for row in rows if row.counts.patients < 29]
    assert few
    assert all(row.evaluation is None and row.withheld == "fewer than 29 patients with such a box" for row in few)
    cells = few[0].as_cells(CONFIG.rates)
    assert cells["AP"] == cells["at 0.25 FP"] == cells["pointing"] == "-"
    assert cells["boxes"] == str(few[0].counts.boxes)


def test_sizes_without_spacing_have_a_row_of_their_own() -> None:
    blind = [replace(one, spacing_mm=None) if place < 45 else one for place, one in enumerate(IMAGES)]
    rows = tabulate_detection(blind, CONFIG, sizes=SIZES, replicates=5, seed=0)
    unknown = next(row for row in rows if (row.category, row.size) == ("", "unknown"))
    assert unknown.counts.boxes == sum(len(one.findings) for one in IMAGES[:45])


def test_the_text_is_aligned_and_says_why_figures_are_missing() -> None:
    rows = tabulate_detection(IMAGES, CONFIG, sizes=SIZES, minimum=29, replicates=20, seed=0)
    head, *lines = table_text(rows, CONFIG.rates).splitlines()
    assert head.split()[:6] == ["type", "size", "boxes", "images", "patients", "AP"]
    assert "at 0.25 FP" in head
    assert len(lines) == len(rows) + 1
    assert lines[-1] == "-: fewer than 29 patients with such a box"


def test_without_boxes_there_are_no_rows() -> None:
    clean = [replace(one, findings=()) for one in IMAGES]
    assert tabulate_detection(clean, CONFIG, sizes=SIZES, replicates=5, seed=0) == []
    with pytest.raises(DatasetError, match="no annotated boxes"):
        table_text([], CONFIG.rates)
