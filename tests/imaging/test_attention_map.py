"""Maps of tile values: overlaps, edges, the mask, cells of mirrored tiles, smoothing, scales."""

import time

import numpy as np
import pytest
from tests.conftest import half_disc

from tilebank.imaging.attention_map import MapConfig, assemble_map, combine_maps, normalise_map
from tilebank.imaging.breast import MaskConfig, breast_mask
from tilebank.imaging.tiling import TilingConfig, cut_tiles, plan_tiles

EVERYWHERE = np.ones((60, 50), np.bool_)


def boxes_of(rng: np.random.Generator, count: int, *, rows: int, columns: int, size_px: int) -> np.ndarray:
    """Boxes of several sizes, some of which reach past an edge."""
    x = rng.integers(-size_px // 2, columns, count)
    y = rng.integers(-size_px // 2, rows, count)
    return np.stack([x, y, *rng.integers(1, size_px, (2, count))], axis=1).astype(np.int32)


def by_hand(boxes: np.ndarray, values: np.ndarray, *, breast: np.ndarray) -> np.ndarray:
    """The same mean, pixel by pixel; not a number where no box is."""
    found = np.full(breast.shape, np.nan)
    for row, column in np.ndindex(breast.shape):
        x, y, width, height = boxes.T
        holds = (x <= column) & (column < x + width) & (y <= row) & (row < y + height)
        if breast[row, column] and holds.any():
            found[row, column] = values[holds].mean()
    return found


@pytest.mark.parametrize("seed", range(5))
def test_overlapping_tiles_are_averaged_and_clipped_at_the_edges(seed: int) -> None:
    rng = np.random.default_rng(seed)
    breast = rng.random((60, 50)) > 0.3
    boxes, values = boxes_of(rng, 30, rows=60, columns=50, size_px=24), rng.normal(size=30)
    raw, expected = assemble_map(boxes, values, breast=breast), by_hand(boxes, values, breast=breast)
    covered = ~np.isnan(expected)
    assert raw.dtype == np.float32
    assert covered.any()
    assert (breast & ~covered).any(), "some breast is left out, or the next lines would test nothing"
    np.testing.assert_allclose(raw[covered], expected[covered], rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(raw[~breast], 0)
    np.testing.assert_array_equal(raw[breast & ~covered], raw[covered].min())


def test_cells_of_a_mirrored_tile_come_back_to_their_place() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 4096, (64, 64)).astype(np.uint16)
    breast = np.ones((64, 64), np.bool_)
    plan = plan_tiles(breast, TilingConfig(), size_px=32)
    boxes = np.array([[t.box.x, t.box.y, t.box.width, t.box.height] for t in plan], np.int32)
    maps = {}
    for flip in (False, True):
        tiles = cut_tiles(pixels, [tile.box for tile in plan], size_px=32, flip=flip)
        cells = tiles.reshape(len(plan), 4, 8, 4, 8).mean(
            axis=(2, 4)
        )  # (n, 4, 4): what a network makes of 8 x 8 pixels
        maps[flip] = assemble_map(boxes, cells, breast=breast, flipped=flip)
    np.testing.assert_array_equal(maps[True], maps[False])
    blocks = pixels.reshape(8, 8, 8, 8).mean(axis=(1, 3))
    np.testing.assert_allclose(maps[False], np.kron(blocks, np.ones((8, 8))), rtol=1e-6)


def test_cells_that_do_not_divide_a_tile_leave_no_gap() -> None:
    cells = np.arange(1.0, 10).reshape(1, 3, 3)
    raw = assemble_map(np.array([[5, 7, 20, 20]]), cells, breast=EVERYWHERE)
    inside = raw[7:27, 5:25]
    assert set(np.unique(inside)) == set(range(1, 10))
    assert (inside[:, 0] == inside[:, 5]).all()
    assert inside[0, 0] == 1
    assert inside[0, -1] == 3
    assert inside[-1, 0] == 7


def test_a_constant_map_says_nothing() -> None:
    boxes = boxes_of(np.random.default_rng(1), 40, rows=60, columns=50, size_px=40)
    raw = assemble_map(boxes, np.full(40, 0.1), breast=EVERYWHERE)
    np.testing.assert_allclose(raw, 0.1, rtol=1e-6)
    np.testing.assert_array_equal(normalise_map(raw, EVERYWHERE), 0)


def test_normalising_knows_the_breast_alone_and_leaves_the_raw_map() -> None:
    breast = EVERYWHERE.copy()
    breast[:, 25:] = False
    raw = np.full((60, 50), -7, np.float32)
    raw[:, :25] = np.linspace(-3, 5, 25, dtype=np.float32)
    before = raw.copy()
    unit = normalise_map(raw, breast)
    assert (unit[breast].min(), unit[breast].max()) == (0, 1)
    np.testing.assert_allclose(unit[0, :25], np.linspace(0, 1, 25), atol=1e-6)
    np.testing.assert_array_equal(unit[~breast], 0)
    np.testing.assert_array_equal(raw, before)


@pytest.mark.parametrize("smoothing_px", [3.0, 25.0])
def test_smoothing_lets_no_background_bleed_in(smoothing_px: float) -> None:
    breast = breast_mask(half_disc(256, 192), MaskConfig())
    box = np.array([[0, 0, 192, 256]])
    raw = assemble_map(box, np.array([0.7]), breast=breast, config=MapConfig(smoothing_px))
    np.testing.assert_allclose(raw[breast], 0.7, rtol=1e-5)
    np.testing.assert_array_equal(raw[~breast], 0)


@pytest.mark.parametrize("smoothing_px", [2.0, 12.0, 40.0])
def test_smoothing_spreads_a_step_as_a_gaussian_does(smoothing_px: float) -> None:
    from scipy.stats import norm

    breast = np.ones((40, 800), np.bool_)
    halves = np.array([[0, 0, 400, 40], [400, 0, 400, 40]])
    raw = assemble_map(halves, np.array([0.0, 1.0]), breast=breast, config=MapConfig(smoothing_px))
    expected = norm.cdf(np.arange(800) + 0.5 - 400, scale=smoothing_px)
    assert np.abs(raw - expected).max() < 0.01


def test_maps_of_two_tile_sizes_agree_where_both_do() -> None:
    fine, coarse = np.zeros((2, 60, 50), np.float32)
    fine[10:20, 10:20] = 0.001  # raw attention of many tiles is small
    fine[40:50, 30:40] = 0.001
    coarse[0:30, 0:30] = 0.5
    both = combine_maps([fine, coarse], EVERYWHERE)
    assert both.max() == 1
    assert (both[10:20, 10:20] == 1).all()
    np.testing.assert_allclose(both[40:50, 30:40], 0.5)
    np.testing.assert_allclose(
        combine_maps([fine, coarse], EVERYWHERE, weights=[1, 0]), normalise_map(fine, EVERYWHERE)
    )


def test_what_does_not_fit_is_refused() -> None:
    box = np.array([[0, 0, 10, 10]])
    with pytest.raises(ValueError, match="boxes"):
        assemble_map(box, np.ones(2), breast=EVERYWHERE)
    with pytest.raises(ValueError, match="1 of 1 tile values are not finite"):
        assemble_map(box, np.array([np.nan]), breast=EVERYWHERE)
    with pytest.raises(ValueError, match="another image"):
        assemble_map(box + np.array([500, 0, 0, 0]), np.ones(1), breast=EVERYWHERE)
    with pytest.raises(ValueError, match="smoothing_px"):
        MapConfig(smoothing_px=-1)
    with pytest.raises(ValueError, match="weights"):
        combine_maps([np.zeros((60, 50), np.float32)], EVERYWHERE, weights=[0.0])
    with pytest.raises(ValueError, match="0 maps"):
        combine_maps([], EVERYWHERE)


def test_two_thousand_tiles_on_a_full_image_take_no_time() -> None:
    rng = np.random.default_rng(0)
    boxes = boxes_of(rng, 2000, rows=3328, columns=2560, size_px=512)
    breast = np.ones((3328, 2560), np.bool_)
    began = time.process_time()
    raw = assemble_map(boxes, rng.random(2000), breast=breast)
    assert time.process_time() - began < 5, "0.4 s when this was written: a loop over tiles or pixels takes far longer"
    assert raw.shape == breast.shape
