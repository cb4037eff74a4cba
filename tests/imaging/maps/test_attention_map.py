"""Maps of tile values: overlaps, edges, the mask, smoothing, peaks near the wall."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import gmean, hmean, norm
from tests.conftest import half_disc

from tilebank.imaging.breast import MaskConfig, breast_mask
from tilebank.imaging.maps.attention_map import MapConfig, Mean, assemble_map, normalise_map
from tilebank.imaging.tiling import TilingConfig, plan_tiles

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


@pytest.mark.parametrize(("mean", "by_book"), [("geometric", gmean), ("harmonic", hmean)])
def test_other_means_of_overlapping_tiles_are_those_of_the_book(mean: Mean, by_book: Callable[..., float]) -> None:
    rng = np.random.default_rng(3)
    boxes, values = boxes_of(rng, 30, rows=60, columns=50, size_px=24), rng.uniform(0.2, 5, 30)
    raw = assemble_map(boxes, values, breast=EVERYWHERE, config=MapConfig(mean=mean))
    x, y, width, height = boxes.T
    for row, column in [(0, 0), (20, 20), (33, 41), (59, 49)]:
        holds = (x <= column) & (column < x + width) & (y <= row) & (row < y + height)
        if holds.any():
            assert raw[row, column] == pytest.approx(by_book(values[holds]), rel=1e-6)


def test_the_more_the_tiles_must_agree_the_narrower_a_small_lesion_s_peak() -> None:
    breast = np.ones((1400, 1400), np.bool_)
    plan = plan_tiles(breast, TilingConfig(overlap=0.75), size_px=256)
    boxes = np.array([[t.box.x, t.box.y, t.box.width, t.box.height] for t in plan])
    beyond = np.array([700, 710]) - boxes[:, :2]
    values = np.where(((beyond >= 0) & (beyond < 256)).all(axis=1), 1.0, 0.02)
    widths = []
    for mean in ("arithmetic", "geometric", "harmonic"):
        raw = assemble_map(boxes, values, breast=breast, config=MapConfig(mean=mean))
        high = np.argwhere(raw > (raw.max() + np.median(raw)) / 2)
        widths.append(int(np.ptp(high[:, 0])) + 1)
        assert np.abs(high.mean(axis=0) - (710, 700)).max() <= 64, "a stride"
    assert widths[0] >= 2 * widths[1]
    assert widths[1] >= widths[2]
    assert widths[2] <= 64, "where all sixteen tiles agree"


def test_a_tile_of_nothing_does_not_empty_what_others_hold() -> None:
    box = np.array([[0, 0, 50, 60], [0, 0, 50, 60]])
    raw = assemble_map(box, np.array([0.0, 1.0]), breast=EVERYWHERE, config=MapConfig(mean="harmonic"))
    assert 0 < raw[0, 0] < 0.01
    against = assemble_map(box, np.array([-5.0, 1.0]), breast=EVERYWHERE, config=MapConfig(mean="harmonic"))
    np.testing.assert_allclose(against, raw)


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
    breast = np.ones((40, 800), np.bool_)
    halves = np.array([[0, 0, 400, 40], [400, 0, 400, 40]])
    raw = assemble_map(halves, np.array([0.0, 1.0]), breast=breast, config=MapConfig(smoothing_px))
    expected = norm.cdf(np.arange(800) + 0.5 - 400, scale=smoothing_px)
    assert np.abs(raw - expected).max() < 0.01


def test_few_tiles_are_drawn_to_the_mean_of_all_by_as_many_as_are_asked_for() -> None:
    breast = np.ones((20, 60), np.bool_)
    boxes = np.array([[0, 0, 40, 20], [20, 0, 40, 20]])  # both hold the middle third
    raw = assemble_map(boxes, np.array([4.0, 1.0]), breast=breast, config=MapConfig(shrinkage=0.5))
    mean = (4 + 2.5 + 1) / 3  # one more tile, half of the two that overlap most, says this
    np.testing.assert_allclose(raw[0, [0, 30, 59]], [(4 + mean) / 2, (5 + mean) / 3, (1 + mean) / 2], rtol=1e-6)
    flat = assemble_map(boxes, np.array([0.3, 0.3]), breast=breast, config=MapConfig(shrinkage=0.5))
    np.testing.assert_allclose(flat, 0.3, rtol=1e-6)


@pytest.mark.parametrize("x", [140, 200, 250])
def test_shrinkage_leaves_a_peak_near_the_chest_wall_in_its_place(x: int) -> None:
    breast = np.ones((1400, 700), np.bool_)
    plan = plan_tiles(breast, TilingConfig(overlap=0.75), size_px=256)
    boxes = np.array([[t.box.x, t.box.y, t.box.width, t.box.height] for t in plan])
    beyond = np.array([x, 700]) - boxes[:, :2]  # the place, from each tile's corner
    holds = ((beyond >= 0) & (beyond < 256)).all(axis=1)
    away = {}
    for shrinkage in (0.0, 0.5):
        config = MapConfig(smoothing_px=32, shrinkage=shrinkage)
        raw = assemble_map(boxes, holds.astype(np.float64), breast=breast, config=config)
        row, column = np.unravel_index(int(raw.argmax()), raw.shape)
        assert abs(int(row) - 700) <= 64
        away[shrinkage] = abs(int(column) - x)
    assert away[0.5] <= 64, "a stride"
    assert away[0.0] > 64, "the plain mean moves it to the edge"


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
    with pytest.raises(ValueError, match="shrinkage"):
        MapConfig(shrinkage=np.inf)
