import numpy as np
import pytest
from numpy.typing import NDArray

from tilebank.errors import ConfigError, DatasetError
from tilebank.evaluation.detection.map_boxes import BoxConfig, find_boxes, find_peak
from tilebank.terms import ScoredBox, TileBox

ROWS, COLUMNS = 400, 300
SMALL = BoxConfig(min_area_px=1, levels=60)  # maps up to 512 px are cut as they are


def hills(*of: tuple[int, int, float, float]) -> NDArray[np.float32]:
    """Gaussian hills of x, y, sigma, height; the highest counts, so that each keeps its own height."""
    y, x = np.mgrid[:ROWS, :COLUMNS]
    parts = [height * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * sigma**2)) for cx, cy, sigma, height in of]
    return np.max(parts, axis=0).astype(np.float32)


WHOLE = np.ones((ROWS, COLUMNS), dtype=bool)


def test_a_box_encloses_its_hill_at_half_maximum_and_scores_its_top() -> None:
    (found,) = find_boxes(hills((100, 200, 20, 0.8)), WHOLE, SMALL)
    half_width = 20 * np.sqrt(2 * np.log(2))
    assert found.score == pytest.approx(0.8)
    assert found.box.x == pytest.approx(100 - half_width, abs=2)
    assert found.box.x + found.box.width == pytest.approx(101 + half_width, abs=2)
    assert found.box.y + found.box.height / 2 == pytest.approx(200.5)


def test_a_low_hill_is_measured_at_its_own_half_and_not_at_the_highest_ones() -> None:
    high, low = find_boxes(hills((60, 80, 15, 1.0), (200, 300, 15, 0.3)), WHOLE, SMALL)
    assert (high.score, low.score) == (pytest.approx(1.0), pytest.approx(0.3))
    assert abs(high.box.width - low.box.width) <= 2


def test_scaling_and_shifting_a_map_moves_scores_and_no_box() -> None:
    heights = hills((60, 80, 15, 1.0), (200, 300, 25, 0.4))
    plain, changed = find_boxes(heights, WHOLE, SMALL), find_boxes(heights * 4 - 8, WHOLE, SMALL)
    assert [found.box for found in plain] == [found.box for found in changed]
    assert [found.score * 4 - 8 for found in plain] == pytest.approx([found.score for found in changed], abs=1e-5)


def test_mirroring_a_map_mirrors_its_boxes() -> None:
    heights = hills((60, 80, 15, 1.0), (200, 300, 25, 0.4))
    plain, mirrored = find_boxes(heights, WHOLE, SMALL), find_boxes(heights[:, ::-1], WHOLE, SMALL)
    flipped = [TileBox(COLUMNS - f.box.x - f.box.width, f.box.y, f.box.width, f.box.height) for f in mirrored]
    assert [found.box for found in plain] == flipped


def test_hills_below_the_lowest_share_or_the_least_area_have_no_box() -> None:
    heights = hills((60, 80, 15, 1.0), (200, 300, 15, 0.08))
    assert len(find_boxes(heights, WHOLE, SMALL)) == 1
    assert len(find_boxes(heights, WHOLE, BoxConfig(min_area_px=1, lowest_share=0.05))) == 2
    assert not find_boxes(heights, WHOLE, BoxConfig(min_area_px=2000))


def test_nothing_outside_the_breast_has_a_box_or_widens_one() -> None:
    breast = np.zeros_like(WHOLE)
    breast[:, :110] = True
    (found,) = find_boxes(hills((100, 200, 20, 0.8), (200, 300, 20, 9.0)), breast, SMALL)
    assert found.score == pytest.approx(0.8)
    assert found.box.x + found.box.width == 110


@pytest.mark.parametrize("heights", [np.zeros((ROWS, COLUMNS)), np.full((ROWS, COLUMNS), 0.7)], ids=["empty", "flat"])
def test_a_map_without_hills_has_no_boxes(heights: NDArray[np.float64]) -> None:
    assert find_boxes(heights, WHOLE, BoxConfig()) == []


def test_an_image_without_breast_has_neither_boxes_nor_a_peak() -> None:
    heights = hills((100, 200, 20, 0.8))
    assert find_boxes(heights, ~WHOLE, BoxConfig()) == []
    assert find_peak(heights, ~WHOLE) is None


def test_equal_hills_are_ordered_by_place_and_capped() -> None:
    heights = hills((200, 80, 10, 1.0), (60, 80, 10, 1.0), (60, 300, 10, 1.0))
    found = find_boxes(heights, WHOLE, SMALL)
    assert [(round(f.box.x, -2), round(f.box.y, -2)) for f in found] == [(0, 100), (200, 100), (0, 300)]
    assert find_boxes(heights, WHOLE, BoxConfig(min_area_px=1, levels=60, max_boxes=2)) == found[:2]


def test_a_large_map_is_cut_small_and_answers_in_source_pixels() -> None:
    heights = np.kron(hills((100, 200, 20, 0.8)), np.ones((4, 4), dtype=np.float32))
    (fine,) = find_boxes(heights, WHOLE.repeat(4, 0).repeat(4, 1), BoxConfig(working_px=1600))
    (coarse,) = find_boxes(heights, WHOLE.repeat(4, 0).repeat(4, 1), BoxConfig(working_px=400))
    assert coarse == ScoredBox(fine.box, pytest.approx(fine.score))


def test_a_flat_tile_is_its_own_box_and_its_middle_the_peak() -> None:
    heights = np.zeros((ROWS, COLUMNS), dtype=np.float32)
    heights[120:184, 40:104] = 0.9
    assert find_boxes(heights, WHOLE, SMALL) == [ScoredBox(TileBox(40, 120, 64, 64), pytest.approx(0.9))]
    assert find_peak(heights, WHOLE) == (71, 151)


def test_a_map_that_does_not_fit_or_is_broken_is_named() -> None:
    with pytest.raises(DatasetError, match="pass both of one image"):
        find_boxes(np.zeros((3, 4)), WHOLE, SMALL)
    heights = hills((100, 200, 20, 0.8))
    heights[0, 0] = np.nan
    with pytest.raises(DatasetError, match="not a number in 1 pixels"):
        find_peak(heights, WHOLE)


@pytest.mark.parametrize(
    "wrong", [{"peak_share": 1.0}, {"lowest_share": 0.0}, {"levels": 1}, {"max_boxes": 0}, {"nms_iou": 1.5}]
)
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        BoxConfig(**wrong)  # type: ignore[arg-type]
