"""From stored values to a Mammogram: the four modes, the fall-backs between them, and refusals."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.conftest import half_disc, make_dicom
from tests.imaging.stored_images import breast_of, stored_image

from tilebank.errors import ImageError
from tilebank.imaging.breast import MaskConfig, breast_mask
from tilebank.imaging.dicom.reader import read_stored
from tilebank.imaging.intensity import IntensityMode, LookUpTable, ReaderConfig, StoredImage
from tilebank.imaging.reader import Mammogram, present_mammogram, read_mammogram
from tilebank.terms import ImageKind

PLAIN = breast_of(500, 3500, air=20)


def present(image: StoredImage, mode: IntensityMode = IntensityMode.VOI) -> Mammogram:
    return present_mammogram(image, reader=ReaderConfig(intensity=mode), mask=MaskConfig())


def test_a_file_becomes_a_mammogram_with_its_breast() -> None:
    content = make_dicom(PLAIN, WindowCenter="2048", WindowWidth="4096")
    mammogram = read_mammogram(content, reader=ReaderConfig(), mask=MaskConfig())
    np.testing.assert_array_equal(mammogram.pixels, PLAIN)
    np.testing.assert_array_equal(mammogram.breast, breast_mask(PLAIN, MaskConfig()))
    assert (mammogram.max_value, mammogram.windowed_by, mammogram.warnings) == (4095, "linear", ())
    assert (mammogram.header.patient_id, mammogram.header.view) == ("P1", "CC")


@pytest.mark.parametrize("inverted", [False, True])
def test_modes_differ_in_their_window_alone(inverted: bool) -> None:
    stored = 4095 - PLAIN if inverted else PLAIN
    image = stored_image(stored, windows=((2000.0, 2000.0),), inverted=inverted)
    shown = {mode: present(image, mode) for mode in IntensityMode}
    expected = {
        IntensityMode.VOI: np.clip((stored - 1999.5) / 1999 + 0.5, 0, 1) * 4095,
        IntensityMode.MINMAX: (stored - stored.min().astype(float)) / (3500 - 20) * 4095,
        IntensityMode.RAW: stored.astype(float),
    }
    for mode, pixels in expected.items():
        np.testing.assert_allclose(shown[mode].pixels, 4095 - pixels if inverted else pixels, atol=0.5 + 1e-6)
        assert shown[mode].max_value == 4095
    published = shown[IntensityMode.PUBLISHED]  # negated by the histogram: here the tag would have said the same
    np.testing.assert_array_equal(published.pixels, 4075 - stored if inverted else stored)
    assert published.max_value == published.pixels.max()
    assert [each.windowed_by for each in shown.values()] == ["linear", "minmax", "raw", "published"]
    assert all(each.warnings == () for each in shown.values())


def test_published_ignores_what_the_tags_say() -> None:
    wrong = stored_image(4095 - PLAIN, inverted=False, slope=float("nan"), windows=())
    np.testing.assert_array_equal(present(wrong, IntensityMode.PUBLISHED).pixels, 4075 - (4095 - PLAIN))


@pytest.mark.parametrize("mode", [IntensityMode.MINMAX, IntensityMode.RAW])
def test_modes_without_a_window_take_the_stored_values_where_rescaling_is_broken(mode: IntensityMode) -> None:
    broken = present(stored_image(PLAIN, slope=0.0), mode)
    np.testing.assert_array_equal(broken.pixels, present(stored_image(PLAIN), mode).pixels)


def test_a_broken_rescaling_makes_the_window_meaningless() -> None:
    shown = present(stored_image(PLAIN, slope=float("inf"), windows=((2000.0, 2000.0),)))
    assert shown.windowed_by == "range"
    assert "Rescale" in shown.warnings[0]


def test_warnings_of_the_header_come_first() -> None:
    image = stored_image(PLAIN, windows=())
    image = replace(image, header=replace(image.header, warnings=("odd header",)))
    first, second = present(image).warnings
    assert first == "odd header"
    assert "range of values in the breast" in second


def test_a_breast_of_one_value_is_not_the_windows_fault() -> None:
    shown = present(stored_image(half_disc(512, 384)))
    assert (shown.windowed_by, shown.warnings) == ("linear", ())


def test_a_window_that_steps_within_the_breast_is_followed() -> None:
    shown = present(stored_image(PLAIN, windows=((2000.0, 1.0),)))
    assert (shown.windowed_by, shown.warnings) == ("linear", ())
    np.testing.assert_array_equal(shown.pixels, np.where(PLAIN > 1999, 4095, 0))


@pytest.mark.parametrize("spread", [0, 60])
def test_a_window_that_shows_a_bright_marker_alone_falls_back(spread: int) -> None:
    stored = PLAIN.copy()
    stored[5:35, 150:185] = 4095 - spread * (np.arange(35) % 2)  # two per cent of the image: enough for a breast
    shown = present(stored_image(stored, windows=((4000.0, 200.0),)))
    assert shown.windowed_by == "range"
    assert not shown.breast[5:35, 150:185].any()
    assert np.count_nonzero(shown.breast != (PLAIN > 20)) < 0.03 * np.count_nonzero(PLAIN > 20)


def test_where_no_window_is_to_blame_the_mask_refuses() -> None:
    dots = np.full((200, 150), 20)
    dots[::10, ::10] = 3000
    with pytest.raises(ImageError, match="no breast") as caught:
        present(stored_image(dots))
    assert caught.value.stage == "mask"


@pytest.mark.parametrize("mode", list(IntensityMode))
def test_a_constant_image_is_filtered_whatever_the_mode(mode: IntensityMode) -> None:
    with pytest.raises(ImageError) as caught:
        present(stored_image(np.full((64, 48), 700)), mode)
    assert (caught.value.stage, caught.value.error_class) == ("filter", ImageKind.CONSTANT.value)


def test_more_than_sixteen_bits_are_refused() -> None:
    with pytest.raises(ImageError, match="32 bits") as caught:
        present(stored_image(PLAIN, bits_stored=32))
    assert caught.value.stage == "decode"


def test_real_mammograms_are_shown_by_their_own_window(real_mammograms: Path) -> None:
    for path in sorted(real_mammograms.glob("*.dcm")):
        image = read_stored(path.read_bytes())
        shown = present(image)
        # center 2048, width 4096 in 12 bits: the window of all six maps each value onto itself
        np.testing.assert_array_equal(shown.pixels, 4095 - image.stored if image.rules.inverted else image.stored)
        assert (shown.windowed_by, shown.warnings) == ("linear", image.header.warnings)
        assert 0.15 < shown.breast.mean() < 0.85
        by_range = present(replace(image, rules=replace(image.rules, windows=())))
        assert by_range.windowed_by == "range"
        apart = np.count_nonzero(by_range.breast != shown.breast)
        assert apart < 0.01 * np.count_nonzero(shown.breast)
        assert by_range.pixels[shown.breast].std() >= 0.97 * shown.pixels[shown.breast].std()


@pytest.mark.parametrize("seed", range(60))
def test_whatever_a_file_says_gives_pixels_or_a_refusal(seed: int) -> None:
    rng = np.random.default_rng(seed)
    odd = [0.0, 1.0, -1.0, 0.3, 1e9, -1e9, 1e-9, 1e25, float("nan"), float("inf"), 2048.0, 4096.0]

    def number() -> float:
        return float(rng.choice(odd))

    def table() -> LookUpTable | None:
        if rng.random() < 0.6:
            return None
        values = rng.integers(-3, 5000, size=rng.integers(0, 3000)).astype(np.int32)
        return LookUpTable(first=int(rng.integers(-5000, 5000)), values=values, bits=int(rng.integers(1, 17)))

    stored = PLAIN.astype(np.int32) - int(rng.integers(0, 2)) * 2048
    if rng.random() < 0.3:
        stored = rng.permutation(stored)
    image = stored_image(
        stored,
        padding=stored > np.quantile(stored, rng.random()) if rng.random() < 0.5 else None,
        slope=number(),
        intercept=number(),
        modality_lut=table(),
        voi_lut=table(),
        windows=tuple((number(), number()) for _ in range(rng.integers(0, 3))),
        function=str(rng.choice(["LINEAR", "LINEAR_EXACT", "SIGMOID", ""])),
        inverted=bool(rng.integers(2)),
        signed=bool(rng.integers(2)),
    )
    for mode in (IntensityMode.VOI, IntensityMode.MINMAX, IntensityMode.RAW, IntensityMode.PUBLISHED):
        try:
            shown = present(image, mode)
        except ImageError as error:
            assert error.stage in ("filter", "mask")  # noqa: PT017 - either outcome is right
        else:
            assert shown.pixels.max() <= shown.max_value
            assert shown.breast.any()
            assert image.padding is None or not shown.breast[image.padding].any()


def test_a_page_of_text_in_a_valid_mammography_file_is_filtered() -> None:
    drawn = np.zeros((800, 600), np.uint8)
    for line in range(20):
        cv2.putText(drawn, "glandular dose 1.2 mGy", (20, 38 * line + 30), cv2.FONT_HERSHEY_SIMPLEX, 0.8, 255, 2)
    for grey in (drawn, 255 - drawn):
        content = make_dicom(grey.astype(np.uint16) * 16, WindowCenter="2048", WindowWidth="4096")
        with pytest.raises(ImageError, match="page of text") as caught:
            read_mammogram(content, reader=ReaderConfig(), mask=MaskConfig())
        assert (caught.value.stage, caught.value.error_class) == ("filter", ImageKind.TEXT_PAGE.value)


def test_phantoms_of_all_vendors_are_shown_as_their_files_say(phantom_root: Path) -> None:
    seen = set()
    for path in sorted(phantom_root.rglob("*.dcm"))[:48]:
        shown = read_mammogram(path.read_bytes(), reader=ReaderConfig(), mask=MaskConfig())
        seen.add((shown.header.manufacturer, shown.windowed_by, shown.warnings))
    assert {by for _, by, _ in seen} == {"linear", "sigmoid"}
    assert {warnings for _, _, warnings in seen} == {()}
    assert len({vendor for vendor, _, _ in seen}) == 4
