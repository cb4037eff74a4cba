"""Tile plans: coverage, overlap, edges; and what is cut."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import half_disc

from tilebank.errors import ImageError
from tilebank.imaging.breast import MaskConfig, breast_mask
from tilebank.imaging.intensity import ReaderConfig
from tilebank.imaging.reader import read_mammogram
from tilebank.imaging.tiling import TilingConfig, cut_tiles, plan_tiles, plan_view
from tilebank.terms import TileBox

GOLDEN = Path(__file__).parents[1] / "golden" / "tile_plan_half_disc.json"


def covered(mask: np.ndarray, boxes: list[TileBox]) -> np.ndarray:
    """How many tiles hold each pixel."""
    count = np.zeros(mask.shape, int)
    for box in boxes:
        count[max(box.y, 0) : box.y + box.height, max(box.x, 0) : box.x + box.width] += 1
    return count


def random_mask(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows, columns = rng.integers(60, 500, 2)
    mask = np.zeros((rows, columns), np.bool_)
    for _ in range(rng.integers(1, 4)):
        y, x = rng.integers(0, rows), rng.integers(0, columns)
        mask[y : y + rng.integers(1, 300), x : x + rng.integers(1, 300)] = True
    return mask


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.75])
def test_every_breast_pixel_lies_in_a_tile(seed: int, overlap: float) -> None:
    mask = random_mask(seed)
    tiles = plan_tiles(mask, TilingConfig(overlap=overlap), size_px=64)
    count = covered(mask, [tile.box for tile in tiles])
    assert (count[mask] >= 1).all()
    if overlap == 0:
        assert count.max() == 1, "without overlap no pixel lies in two tiles"
    assert all(tile.tissue_fraction > 0 for tile in tiles), "a tile without breast is background"


def test_tiles_stay_in_the_image_where_there_is_room() -> None:
    mask = np.zeros((200, 200), np.bool_)
    mask[5:195, 150:] = True
    for tile in plan_tiles(mask, TilingConfig(), size_px=64):
        assert tile.box.x >= 0
        assert tile.box.x + 64 <= 200


def test_a_higher_tissue_fraction_drops_the_rim_and_says_the_fractions() -> None:
    mask = breast_mask(half_disc(512, 384), MaskConfig())
    every, most = (plan_tiles(mask, TilingConfig(min_tissue_fraction=share), size_px=64) for share in (0.0, 0.5))
    assert {tile.box for tile in most} == {tile.box for tile in every if tile.tissue_fraction > 0.5}
    assert len(most) < len(every)
    first = every[0]
    inside = mask[first.box.y : first.box.y + 64, first.box.x : first.box.x + 64]
    assert first.tissue_fraction == pytest.approx(inside.mean())


def test_no_tile_left_is_an_image_error() -> None:
    mask = np.zeros((200, 200), np.bool_)
    mask[100, 100] = True
    with pytest.raises(ImageError, match="no tile of 64 px"):
        plan_tiles(mask, TilingConfig(min_tissue_fraction=0.5), size_px=64)


def test_the_plan_of_a_known_shape_does_not_drift() -> None:
    mask = breast_mask(half_disc(700, 500), MaskConfig())
    plan = [asdict(tile.box) for tile in [plan_view(mask), *plan_tiles(mask, TilingConfig(), size_px=128)]]
    assert plan == json.loads(GOLDEN.read_text())


def test_cut_tiles_are_source_pixels_mirrored_on_request_and_dark_outside() -> None:
    pixels = np.arange(100 * 80, dtype=np.uint16).reshape(100, 80)
    boxes = [TileBox(10, 20, 32, 32), TileBox(70, 90, 32, 32)]
    plain, mirrored = (cut_tiles(pixels, boxes, size_px=32, flip=flip) for flip in (False, True))
    np.testing.assert_array_equal(plain[0], pixels[20:52, 10:42])
    np.testing.assert_array_equal(mirrored, plain[:, :, ::-1])
    np.testing.assert_array_equal(plain[1][:10, :10], pixels[90:, 70:])
    assert plain[1][10:].max() == 0
    assert plain[1][:, 10:].max() == 0


def test_the_view_keeps_its_aspect_and_its_mean() -> None:
    pixels = half_disc(600, 400)
    mask = breast_mask(pixels, MaskConfig())
    view = plan_view(mask)
    assert view.box.width == view.box.height
    assert (covered(mask, [view.box])[mask] == 1).all()
    (small,) = cut_tiles(pixels, [view.box], size_px=64)
    (whole,) = cut_tiles(pixels, [view.box], size_px=view.box.width)
    assert small.mean() == pytest.approx(whole.mean(), rel=0.02)


def test_every_breast_pixel_of_real_mammograms_is_covered(real_mammograms: Path) -> None:
    for path in sorted(real_mammograms.glob("*.dcm")):
        mask = read_mammogram(path.read_bytes(), reader=ReaderConfig(), mask=MaskConfig()).breast
        for size in (256, 448, 518):
            tiles = plan_tiles(mask, TilingConfig(), size_px=size)
            assert (covered(mask, [tile.box for tile in tiles])[mask] == 1).all()
