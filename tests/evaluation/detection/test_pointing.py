from dataclasses import replace

import pytest

from tilebank.errors import DatasetError
from tilebank.evaluation.detection.images import BoxFilter, ImageDetections
from tilebank.evaluation.detection.pointing import pointing_columns
from tilebank.terms import Finding, TileBox

MASS, CALCIFICATION = TileBox(10, 10, 20, 20), TileBox(60, 60, 20, 20)
BOTH = (Finding("a", ("mass",), MASS), Finding("a", ("calcification",), CALCIFICATION))


def rows(peak: tuple[int, int] | None, wanted: BoxFilter, tolerance_px: int = 0) -> list[list[float]]:
    found = pointing_columns([ImageDetections("a", "p", 99, 99, BOTH, (), peak)], wanted, tolerance_px=tolerance_px)
    assert found is not None
    return found.tolist()


@pytest.mark.parametrize(("peak", "hit"), [((10, 10), 1), ((29, 29), 1), ((30, 29), 0), ((9, 15), 0), ((70, 70), 1)])
def test_a_box_is_hit_from_its_first_to_its_last_pixel(peak: tuple[int, int], hit: int) -> None:
    assert rows(peak, BoxFilter()) == [[hit, 1]]


def test_the_tolerance_widens_a_box_to_all_sides() -> None:
    assert rows((34, 29), BoxFilter(), 5) == [[1, 1]]
    assert rows((35, 29), BoxFilter(), 5) == [[0, 1]]
    assert rows((5, 5), BoxFilter(), 5) == [[1, 1]]


def test_an_image_that_points_at_another_lesion_alone_is_not_asked() -> None:
    assert rows((70, 70), BoxFilter("mass")) == [[0, 0]]
    assert rows((45, 45), BoxFilter("mass")) == [[0, 1]]
    assert rows((15, 15), BoxFilter("mass")) == [[1, 1]]


def test_images_without_a_box_are_not_asked() -> None:
    clean = ImageDetections("b", "p", 99, 99, (), (), (5, 5))
    found = pointing_columns(
        [clean, ImageDetections("a", "p", 99, 99, BOTH, (), (15, 15))], BoxFilter(), tolerance_px=0
    )
    assert found is not None
    assert found.tolist() == [[0, 0], [1, 1]]


def test_maps_are_given_for_all_images_with_boxes_or_for_none() -> None:
    image = ImageDetections("a", "p", 99, 99, BOTH, (), (5, 5))
    other = replace(image, image_id="b", peak=None, findings=(Finding("b", (), MASS),))
    assert pointing_columns([replace(image, peak=None)], BoxFilter(), tolerance_px=0) is None
    with pytest.raises(DatasetError, match="1 of 2 images with boxes have no peak"):
        pointing_columns([image, other], BoxFilter(), tolerance_px=0)
