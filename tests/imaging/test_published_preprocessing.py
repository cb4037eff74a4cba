"""The reference method's preprocessing: polarity, flip, square, tiles; and where they lie in the source."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.imaging.stored_images import breast_of, stored_image

from tilebank.imaging.breast import MaskConfig
from tilebank.imaging.instances import cut_instances
from tilebank.imaging.intensity import IntensityMode, ReaderConfig
from tilebank.imaging.published_preprocessing import present_published
from tilebank.imaging.reader import Mammogram, present_mammogram, read_mammogram
from tilebank.imaging.tiling import ImageInstances, TilingConfig

READER = ReaderConfig(intensity=IntensityMode.PUBLISHED)
SIZE = 518


def textured(rows: int, columns: int) -> NDArray[np.int64]:
    """A breast with stripes of its own everywhere, so that a piece can be told from its neighbours."""
    stored = breast_of(900, 2500, air=0, rows=rows, columns=columns).astype(np.int64)
    y, x = np.mgrid[:rows, :columns]
    stripes = 400 * np.sin(x * x / 9000) + 400 * np.sin(y * y / 11000 + x / 60)
    return np.where(stored > 0, stored + stripes.astype(np.int64), 0)


def cut(mammogram: Mammogram, *, reader: ReaderConfig = READER, tiling: TilingConfig | None = None) -> ImageInstances:
    return cut_instances(mammogram, reader=reader, mask=MaskConfig(), tiling=tiling or TilingConfig(), size_px=SIZE)


def mammogram_of(stored: NDArray[np.integer]) -> Mammogram:
    return present_mammogram(stored_image(stored), reader=READER, mask=MaskConfig())


@pytest.fixture(scope="module")
def left() -> tuple[Mammogram, ImageInstances]:
    """A breast against the left edge, and what is cut of it."""
    mammogram = mammogram_of(textured(1200, 900))
    return mammogram, cut(mammogram)


@pytest.fixture(scope="module")
def right() -> tuple[Mammogram, ImageInstances]:
    """Its mirror image."""
    mammogram = mammogram_of(np.ascontiguousarray(textured(1200, 900)[:, ::-1]))
    return mammogram, cut(mammogram)


@pytest.fixture(params=["left", "right"])
def side(request: pytest.FixtureRequest) -> tuple[Mammogram, ImageInstances]:
    """Either of them."""
    return request.getfixturevalue(request.param)


def test_an_image_is_negated_when_its_histogram_peaks_in_the_upper_half() -> None:
    bright_air = np.array([[4000] * 8 + [100, 2000]], np.int32)
    shown = present_published(bright_air)
    assert shown.pixels.tolist() == [[0] * 8 + [3900, 2000]]
    assert present_published(4000 - bright_air).pixels.tolist() == [[0] * 8 + [3900, 2000]]
    lifted = present_published(np.array([[-50] * 8 + [100, 2000]], np.int32))
    assert (lifted.pixels.tolist(), lifted.max_value) == ([[0] * 8 + [150, 2050]], 2050)


def test_both_polarities_give_the_same_instances(left: tuple[Mammogram, ImageInstances]) -> None:
    stored = textured(1200, 900)
    negative = cut(mammogram_of(stored.max() - stored))
    assert negative.plan == left[1].plan
    np.testing.assert_array_equal(negative.pixels, left[1].pixels)


def test_boxes_are_where_the_pixels_come_from(side: tuple[Mammogram, ImageInstances]) -> None:
    mammogram, instances = side
    rows, columns = mammogram.pixels.shape
    inside = 0
    for tile, seen in zip(instances.plan[1:], instances.pixels[1:], strict=True):
        box = tile.box
        if min(box.x, box.y) < 0 or box.x + box.width > columns or box.y + box.height > rows:
            continue
        source = mammogram.pixels[box.y : box.y + box.height, box.x : box.x + box.width].astype(np.float32)
        source = source[:, ::-1] if instances.flipped else source
        enlarged = cv2.resize(source, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
        assert np.corrcoef(enlarged.ravel(), seen.ravel())[0, 1] > 0.97
        inside += 1
    assert inside > 20


def test_the_view_is_the_square_around_the_breast(side: tuple[Mammogram, ImageInstances]) -> None:
    mammogram, instances = side
    view = instances.plan[0].box
    assert view.width == view.height
    # Otsu's threshold keeps the breast to a few pixels; black completes the square on the side away from it
    ys, xs = np.flatnonzero(mammogram.breast.any(axis=1)), np.flatnonzero(mammogram.breast.any(axis=0))
    assert abs(view.y - ys[0]) < 30
    assert abs(view.y + view.height - 1 - ys[-1]) < 30
    edge = view.x + view.width - 1 - xs[-1] if instances.flipped else view.x - xs[0]
    assert abs(edge) < 5
    assert instances.flipped == (mammogram.breast[:, -1].sum() > mammogram.breast[:, 0].sum())
    assert instances.pixels[0][:, -SIZE // 10 :].max() == 0
    assert instances.max_value == 65535
    assert instances.pixels[1:].max() > 64000


def test_a_mirrored_breast_gives_the_same_pixels_at_mirrored_places(
    left: tuple[Mammogram, ImageInstances], right: tuple[Mammogram, ImageInstances]
) -> None:
    one, other = left[1], right[1]
    np.testing.assert_array_equal(one.pixels, other.pixels)
    assert (one.flipped, other.flipped) == (False, True)
    for here, there in zip(one.plan, other.plan, strict=True):
        assert here.box.x + here.box.width == 900 - there.box.x
        assert (here.box.y, here.box.width) == (there.box.y, there.box.width)
        assert here.tissue_fraction == pytest.approx(there.tissue_fraction, abs=0.03)


def test_windows_are_a_tenth_larger_than_tiles_and_overlap_by_a_quarter(
    left: tuple[Mammogram, ImageInstances],
) -> None:
    instances = left[1]
    scale = instances.plan[0].box.width / 4096
    grown = int(SIZE * 1.1)
    for axis in ("x", "y"):
        starts = np.unique([getattr(tile.box, axis) for tile in instances.plan[1:]])
        strides = np.diff(starts) / scale
        assert strides.max() <= 0.75 * grown + 2 / scale
    first = min(tile.box.x for tile in instances.plan[1:])
    assert first == round((grown - SIZE) // 2 * scale), "the outer 25 pixels of a window are never seen"
    assert all(tile.box.width == round(SIZE * scale) for tile in instances.plan[1:])


def test_nearly_empty_windows_are_dropped(left: tuple[Mammogram, ImageInstances]) -> None:
    instances = left[1]
    grid = {(tile.box.x, tile.box.y) for tile in instances.plan[1:]}
    whole = len({x for x, _ in grid}) * len({y for _, y in grid})
    assert len(grid) < whole, "corners of the box hold no breast"
    assert all(seen.mean() > 0.03 * 65535 for seen in instances.pixels[1:])


def test_the_other_modes_are_cut_by_the_tiling_config(right: tuple[Mammogram, ImageInstances]) -> None:
    mammogram = right[0]
    ours = cut(mammogram, reader=ReaderConfig(), tiling=TilingConfig(flip_to_left=False))
    assert (ours.flipped, ours.max_value) == (False, mammogram.max_value)
    assert {tile.box.width for tile in ours.plan[1:]} == {SIZE}


def test_real_mammograms_give_the_counts_of_the_released_code(real_mammograms: Path) -> None:
    # counted once with the released steps, on the same files
    counts = {"FFDM-1-A_R_CC.dcm": 39, "FFDM-2-A_L_MLO.dcm": 38}
    for name, count in counts.items():
        content = (real_mammograms / name).read_bytes()
        mammogram = read_mammogram(content, reader=READER, mask=MaskConfig())
        assert len(cut(mammogram).plan) == count
