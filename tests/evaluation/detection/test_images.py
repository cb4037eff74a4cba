import pytest

from tilebank.errors import ConfigError, DatasetError
from tilebank.evaluation.detection.images import BoxFilter, ImageDetections, SizeClasses
from tilebank.terms import Finding, ScoredBox, TileBox

BOX = TileBox(10, 10, 20, 20)


def test_a_box_reaching_past_the_image_is_kept_and_one_outside_it_is_refused() -> None:
    ImageDetections("a", "p", 100, 80, (Finding("a", (), TileBox(70, -5, 20, 20)),))
    with pytest.raises(DatasetError, match="image a of 80 x 100 px: the annotated"):
        ImageDetections("a", "p", 100, 80, (Finding("a", (), TileBox(80, 0, 20, 20)),))
    with pytest.raises(DatasetError, match="the detected"):
        ImageDetections("a", "p", 100, 80, (), (ScoredBox(TileBox(5, 5, 0, 9), 0.5),))


def test_a_box_of_another_image_and_a_score_that_is_none_are_refused() -> None:
    with pytest.raises(DatasetError, match="image b is given to image a"):
        ImageDetections("a", "p", 100, 80, (Finding("b", (), BOX),))
    with pytest.raises(DatasetError, match="the score nan"):
        ImageDetections("a", "p", 100, 80, (), (ScoredBox(BOX, float("nan")),))


@pytest.mark.parametrize(
    ("side", "name"), [(99, "small"), (100, "medium"), (199, "medium"), (200, "large"), (2000, "large")]
)
def test_sizes_are_by_the_root_of_the_area_in_millimetres(side: int, name: str) -> None:
    assert SizeClasses().size_of(TileBox(0, 0, side, side), (0.1, 0.1)) == name
    assert (
        SizeClasses().size_of(TileBox(0, 0, side * 4, side), (0.05, 0.05)) == name
    )  # as wide by two, as high by a half


def test_without_spacing_a_size_is_unknown_in_millimetres_and_known_in_pixels() -> None:
    assert SizeClasses().size_of(BOX, None) == "unknown"
    assert SizeClasses("px", 20, 40).size_of(BOX, None) == "medium"
    assert SizeClasses("px", 20, 40).size_of(BOX, (0.1, 0.1)) == "medium"


def test_boxes_are_wanted_by_any_of_their_categories_and_their_size() -> None:
    both, none = Finding("a", ("mass", "calcification"), BOX), Finding("a", (), TileBox(0, 0, 60, 60))
    image = ImageDetections("a", "p", 100, 80, (both, none), spacing_mm=(0.5, 0.5))
    assert BoxFilter().of(image) == (True, True)
    assert BoxFilter("mass").of(image) == BoxFilter("calcification").of(image) == (True, False)
    assert BoxFilter("unknown").of(image) == BoxFilter("", "large").of(image) == (False, True)
    assert BoxFilter("mass", "large").of(image) == (False, False)


@pytest.mark.parametrize("wrong", [("mm", 20, 10), ("mm", 0, 10), ("cm", 1, 2)])
def test_impossible_size_classes_are_refused(wrong: tuple[str, float, float]) -> None:
    with pytest.raises(ConfigError, match="size classes"):
        SizeClasses(*wrong)  # type: ignore[arg-type]
