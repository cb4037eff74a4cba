"""The mask on shapes whose truth is known, and on real mammograms."""

from pathlib import Path

import numpy as np
import pytest
from tests.conftest import half_disc

from tilebank.errors import ImageError
from tilebank.imaging.breast import MaskConfig, breast_mask, chest_wall_on_right, keep_breast, mask_box
from tilebank.imaging.intensity import ReaderConfig
from tilebank.imaging.reader import read_mammogram


def test_mask_is_the_breast_without_its_marker() -> None:
    pixels = half_disc(1024, 768)
    truth = pixels > 100
    pixels[60:110, 600:700] = 4095  # a burned-in marker in the air
    mask = breast_mask(pixels, MaskConfig())
    assert not mask[60:110, 600:700].any()
    assert (truth & ~mask).sum() <= 0.002 * truth.sum()
    assert (mask & ~truth).sum() <= 0.02 * truth.sum()


def test_an_encoder_sees_no_marker_unless_asked_to() -> None:
    pixels = half_disc(1024, 768)
    pixels[60:110, 600:700] = 4095
    mask = breast_mask(pixels, MaskConfig())
    visible = keep_breast(pixels, mask, MaskConfig())
    assert visible[60:110, 600:700].max() == 0
    np.testing.assert_array_equal(visible[mask], pixels[mask])
    np.testing.assert_array_equal(keep_breast(pixels, mask, MaskConfig(blank_outside=False)), pixels)


def test_a_dim_skin_line_and_noisy_air_are_told_apart() -> None:
    rng = np.random.default_rng(3)
    pixels = half_disc(1024, 768, value=2500)
    skin = half_disc(1024, 768, value=2500) > 100
    inner = np.zeros_like(skin)
    inner[40:-40, :-40] = skin[40:-40, 40:]
    pixels[skin & ~inner] = 260  # thin fat at the rim, a tenth of the gland
    pixels = np.clip(pixels + rng.normal(0, 12, pixels.shape), 0, 4095).astype(np.uint16)
    mask = breast_mask(pixels, MaskConfig())
    assert (skin & ~mask).sum() <= 0.01 * skin.sum()
    assert (mask & ~skin).sum() <= 0.03 * skin.sum()


def test_holes_belong_to_the_breast() -> None:
    pixels = half_disc(512, 384)
    pixels[240:270, 60:90] = 10  # a dark cyst, well inside
    assert breast_mask(pixels, MaskConfig())[240:270, 60:90].all()


@pytest.mark.parametrize("pixels", [np.full((400, 300), 700, np.uint16), np.zeros((400, 300), np.uint16)])
def test_a_constant_image_has_no_breast(pixels: np.ndarray) -> None:
    with pytest.raises(ImageError, match="no breast") as caught:
        breast_mask(pixels, MaskConfig())
    assert caught.value.stage == "mask"


@pytest.mark.parametrize("right", [False, True])
def test_chest_wall_is_found_by_pixels(right: bool) -> None:
    assert chest_wall_on_right(breast_mask(half_disc(300, 200, right=right), MaskConfig())) is right


def test_mask_box_is_tight() -> None:
    mask = np.zeros((10, 20), np.bool_)
    mask[3:7, 5:16] = True
    box = mask_box(mask)
    assert (box.x, box.y, box.width, box.height) == (5, 3, 11, 4)


def test_real_masks_hold_the_breast_and_leave_the_text_markers_out(real_mammograms: Path) -> None:
    # where the view's letters are burned in: rows, columns (read off the images by eye)
    markers = {
        "FFDM-1-A_L_CC.dcm": (slice(370, 480), slice(1230, 1480)),
        "FFDM-1-A_R_CC.dcm": (slice(370, 480), slice(1180, 1440)),
    }
    for path in sorted(real_mammograms.glob("*.dcm")):
        mammogram = read_mammogram(path.read_bytes(), reader=ReaderConfig(), mask=MaskConfig())
        pixels, mask = mammogram.pixels, mammogram.breast
        if path.name in markers:
            where = markers[path.name]
            assert pixels[where].max() > 3000, "the marker is where this test thinks it is"
            assert not mask[where].any()
        bright = pixels > 600
        assert (bright & ~mask).sum() < 0.01 * bright.sum()
        assert 0.15 < mask.mean() < 0.85
