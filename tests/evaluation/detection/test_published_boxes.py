from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from tilebank.errors import ConfigError
from tilebank.evaluation.detection.published_boxes import (
    PublishedBoxConfig,
    published_extract,
    published_find_boxes,
    published_grid_box,
    published_grid_map,
    published_normalise,
)
from tilebank.terms import ScoredBox, TileBox

CONFIG = PublishedBoxConfig()
SMALL = replace(CONFIG, min_area_px=6, quantile=0.6)
Rows = list[tuple[int, int, int, int, float]]


def literal(heights: NDArray[np.float64], config: PublishedBoxConfig) -> Rows:
    """The recipe's words taken one by one, without arrays: flood fill, sums, suppression, deletion."""
    cut = float(np.quantile(heights, config.quantile))
    left = {(y, x) for y, x in np.ndindex(heights.shape) if heights[y, x] > cut and heights[y, x] > config.threshold}
    boxes: Rows = []
    while left:
        piece, edge = set(), [min(left)]
        while edge:
            y, x = edge.pop()
            if (y, x) in left:
                left.remove((y, x))
                piece.add((y, x))
                edge += [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
        top, bottom = min(y for y, _ in piece), max(y for y, _ in piece) + 1
        start, stop = min(x for _, x in piece), max(x for _, x in piece) + 1
        if len(piece) < config.min_area_px:
            continue
        heat = sum(float(heights[y, x]) for y in range(top, bottom) for x in range(start, stop))
        boxes.append((start, top, stop, bottom, heat))
    kept: Rows = []
    for box in sorted(boxes, key=lambda row: -row[4]):
        if all(common(box, one) / (area(box) + area(one) - common(box, one)) <= config.overlap for one in kept):
            kept.append(box)
    kept = kept[: config.max_boxes]
    return [one for one in kept if not any(o is not one and common(one, o) >= config.overlap * area(one) for o in kept)]


def area(box: tuple[int, int, int, int, float]) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def common(first: tuple[int, int, int, int, float], second: tuple[int, int, int, int, float]) -> int:
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    return max(width, 0) * max(height, 0)


def as_rows(found: list[ScoredBox]) -> Rows:
    return [(f.box.x, f.box.y, f.box.x + f.box.width, f.box.y + f.box.height, pytest.approx(f.score)) for f in found]


def random_map(seed: int, *, sigma: float) -> NDArray[np.float64]:
    heights = ndimage.gaussian_filter(np.random.default_rng(seed).random((70, 50)), sigma)
    return np.asarray((heights - heights.min()) / (heights.max() - heights.min()))


@pytest.mark.parametrize("sigma", [1.0, 1.5, 3.0])
@pytest.mark.parametrize("seed", range(6))
def test_boxes_are_those_of_the_recipe_taken_literally(seed: int, sigma: float) -> None:
    heights = random_map(seed, sigma=sigma)
    found = published_extract(heights, SMALL)
    assert literal(heights, SMALL) == as_rows(found)
    assert found


def test_random_maps_bring_every_step_of_the_recipe_to_bear() -> None:
    """Else the comparison would say nothing of suppression, deletion and the least area."""
    maps = [random_map(seed, sigma=1.5) for seed in range(6)]
    plain = sum(len(published_extract(one, SMALL)) for one in maps)
    assert sum(len(published_extract(one, replace(SMALL, overlap=1.0))) for one in maps) > plain
    assert sum(len(published_extract(one, replace(SMALL, min_area_px=1))) for one in maps) > plain
    assert sum(len(published_extract(one, replace(SMALL, max_boxes=2))) for one in maps) < plain


def test_two_boxes_that_share_a_quarter_of_either_delete_each_other() -> None:
    heights = np.zeros((100, 100))
    heights[10:50, 10:13] = heights[10:13, 10:50] = 0.9  # an angle, and another that reaches into its box
    heights[28:68, 65:68] = heights[65:68, 28:68] = 0.8
    heights[80:90, 80:90] = 0.7
    config = replace(CONFIG, min_area_px=50, quantile=0.5)
    assert [one.box for one in published_extract(heights, config)] == [TileBox(80, 80, 10, 10)]
    apart = replace(config, overlap=0.4)  # their IoU is 0.18: no suppression; 0.3 of either is shared
    assert len(published_extract(heights, apart)) == 3


def test_a_larger_box_outranks_a_higher_one() -> None:
    heights = np.zeros((200, 200))
    heights[10:45, 10:45], heights[100:180, 100:180] = 1.0, 0.6
    large, high = published_extract(heights, replace(CONFIG, quantile=0.5))
    assert (large.box, large.score) == (TileBox(100, 100, 80, 80), pytest.approx(0.6 * 6400))
    assert (high.box, high.score) == (TileBox(10, 10, 35, 35), pytest.approx(35**2))


def test_pieces_that_touch_at_a_corner_are_two_and_those_below_the_least_area_none() -> None:
    heights = np.zeros((200, 200))
    heights[0:32, 0:32] = heights[32:64, 32:64] = 1.0
    heights[100:131, 100:133] = 1.0  # 1,023 px
    found = published_extract(heights, replace(CONFIG, quantile=0.5))
    assert [one.box for one in found] == [TileBox(0, 0, 32, 32), TileBox(32, 32, 32, 32)]


def test_a_flat_place_of_more_than_a_twentieth_of_the_grid_has_no_box() -> None:
    heights = np.zeros((200, 200))
    heights[0:32, 0:60] = 1.0  # 4.8 %
    assert len(published_extract(heights, CONFIG)) == 1
    heights[0:32, 0:64] = 1.0  # 5.1 %: the quantile is the place itself, and nothing lies above it
    assert published_extract(heights, CONFIG) == []


def test_an_empty_map_and_one_without_breast_have_no_boxes() -> None:
    heights = np.zeros((300, 200), dtype=np.float32)
    whole = np.ones(heights.shape, dtype=bool)
    assert published_find_boxes(heights, whole, CONFIG) == []
    heights[100:150, 100:150] = 1
    assert published_find_boxes(heights, ~whole, CONFIG) == []
    assert len(published_find_boxes(heights, whole, CONFIG)) == 1


def test_a_map_is_stretched_to_the_breasts_own_range() -> None:
    heights = random_map(0, sigma=2) * 7 - 3
    breast = np.zeros(heights.shape, dtype=bool)
    breast[5:60, :30] = True
    flat = replace(CONFIG, smoothing_px=0)
    stretched = published_normalise(heights, breast, flat)
    inside = heights[breast]
    np.testing.assert_allclose(stretched[breast], (inside - inside.min()) / (inside.max() - inside.min()))
    assert not stretched[~breast].any()
    np.testing.assert_allclose(published_normalise(heights * 2 + 1, breast, CONFIG)[breast].max(), 1)


def test_the_grid_is_the_crop_stretched_and_padded_by_whole_patches() -> None:
    assert CONFIG.shape == (1536, 1024)
    assert replace(CONFIG, rows=1024, columns=512).shape == (1536, 1024)  # a multiple already gets one patch more
    plane = np.zeros((400, 300), dtype=np.float32)
    plane[100:200, 50:150] = 1
    grid = published_grid_map(plane, CONFIG, crop=TileBox(50, 100, 100, 100))
    assert grid.shape == (1536, 1024)
    assert (grid[:1520, :912] == 1).all()
    assert not grid[1520:].any()
    assert not grid[:, 912:].any()


def test_an_annotated_box_moves_with_the_map_under_it() -> None:
    box, crop = TileBox(60, 120, 30, 40), TileBox(20, 80, 200, 300)
    plane = np.zeros((400, 300), dtype=np.float32)
    plane[120:160, 60:90] = 1
    grid = published_grid_map(plane, CONFIG, crop=crop) > 0.5
    moved = published_grid_box(box, CONFIG, shape=plane.shape, crop=crop)
    assert moved is not None
    rows, columns = np.flatnonzero(grid.any(axis=1)), np.flatnonzero(grid.any(axis=0))
    assert (moved.x, moved.y) == (pytest.approx(columns[0], abs=1), pytest.approx(rows[0], abs=1))
    assert (moved.width, moved.height) == (pytest.approx(columns.size, abs=2), pytest.approx(rows.size, abs=2))


def test_a_low_box_keeps_its_bottom_though_it_lies_below_the_grids_width() -> None:
    shape = (3518, 2800)  # the released table ends such a box at 2,795: at the width, for want of the height
    moved = published_grid_box(TileBox(400, 2700, 300, 278), CONFIG, shape=shape)
    assert moved is not None
    assert moved.y + moved.height == round(2978 * 1520 / 3518)
    assert published_grid_box(TileBox(400, 3500, 300, 900), CONFIG, shape=shape) == TileBox(130, 1512, 98, 8)
    assert published_grid_box(TileBox(0, 0, 9, 9), CONFIG, shape=shape, crop=TileBox(50, 50, 900, 900)) is None


@pytest.mark.parametrize("wrong", [{"quantile": 1.5}, {"min_area_px": 0}, {"smoothing_px": -1.0}])
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="published boxes"):
        PublishedBoxConfig(**wrong)  # type: ignore[arg-type]
