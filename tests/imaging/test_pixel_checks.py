"""Constant images and pages of text are told from mammograms by their pixels alone."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.conftest import half_disc
from tests.imaging.stored_images import breast_of, stored_image

from tilebank.errors import ImageError
from tilebank.imaging.dicom.reader import read_stored
from tilebank.imaging.intensity import StoredImage
from tilebank.imaging.pixel_checks import assert_not_blank_or_text
from tilebank.terms import ImageKind


def page(
    rows: int, columns: int, *, lines: int, letter: float, inverted: bool, frame: bool = False
) -> NDArray[np.int32]:
    """A page of text, 12 bit, as a report printed into a mammography object looks."""
    drawn = np.zeros((rows, columns), np.uint8)
    for line in range(lines):
        place = (columns // 30, (line + 1) * rows // (lines + 1))
        text = f"Line {line}: average glandular dose 1.{line:02} mGy, 28 kVp, 90 mAs"
        cv2.putText(drawn, text, place, cv2.FONT_HERSHEY_SIMPLEX, letter, 255, max(1, round(2 * letter)), cv2.LINE_AA)
    if frame:
        cv2.rectangle(drawn, (9, 9), (columns - 9, rows - 9), 255, 3)
    grey = 255 - drawn if inverted else drawn
    return grey.astype(np.int32) * 16


def kind_of(image: StoredImage) -> str:
    """What kind the pixels are refused as; empty where they are not."""
    try:
        assert_not_blank_or_text(image)
    except ImageError as error:
        return error.error_class if error.stage == "filter" else error.stage
    return ""


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize(
    ("rows", "columns", "lines", "letter"), [(1664, 1280, 30, 1.0), (1664, 1280, 3, 2.0), (1024, 768, 25, 0.5)]
)
def test_a_page_of_text_is_filtered(rows: int, columns: int, lines: int, letter: float, inverted: bool) -> None:
    for frame in (False, True):
        text = page(rows, columns, lines=lines, letter=letter, inverted=inverted, frame=frame)
        assert kind_of(stored_image(text)) == ImageKind.TEXT_PAGE


def test_a_page_with_a_heading_bar_noise_or_lossy_compression_is_still_a_page() -> None:
    text = page(1664, 1280, lines=30, letter=1.0, inverted=True)
    with_bar = text.copy()
    with_bar[:150] = 0
    noisy = np.clip(text + np.random.default_rng(0).integers(-15, 15, text.shape), 0, 4095)
    _, compressed = cv2.imencode(".jpg", (text // 16).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 80])
    lossy = cv2.imdecode(compressed, cv2.IMREAD_GRAYSCALE)
    assert [kind_of(stored_image(each)) for each in (with_bar, noisy, lossy)] == [ImageKind.TEXT_PAGE.value] * 3


def test_one_value_everywhere_is_constant_padding_aside() -> None:
    flat = np.full((300, 200), 700)
    padded = flat.copy()
    padded[:, :90] = 4095
    assert kind_of(stored_image(flat)) == ImageKind.CONSTANT
    assert kind_of(stored_image(padded, padding=padded == 4095)) == ImageKind.CONSTANT
    assert kind_of(stored_image(flat, padding=flat == 700)) == ImageKind.CONSTANT
    single = np.full((900, 700), 700)
    single[501, 333] = 701
    assert kind_of(stored_image(single)) != ImageKind.CONSTANT


@pytest.mark.parametrize("right", [False, True])
@pytest.mark.parametrize("inverted", [False, True])
def test_a_breast_with_text_beside_it_is_no_page(right: bool, inverted: bool) -> None:
    stored = np.asarray(breast_of(600, 3500, air=10, rows=1664, columns=1280, right=right), np.int32)
    words = page(1664, 1280, lines=12, letter=0.7, inverted=False) > 2000
    beside = words & (stored == 10)
    stored[beside] = 4095
    assert kind_of(stored_image(4095 - stored if inverted else stored)) == ""


def test_a_breast_of_two_levels_with_a_marker_is_no_page() -> None:
    stored = half_disc(1024, 768).astype(np.int32)
    marker = np.zeros(stored.shape, np.uint8)
    cv2.putText(marker, "R CC 12345", (420, 80), cv2.FONT_HERSHEY_SIMPLEX, 1.5, 255, 3)
    stored[marker > 0] = 4095
    assert kind_of(stored_image(stored)) == ""


def test_film_with_white_borders_and_a_label_is_no_page() -> None:
    rng = np.random.default_rng(1)
    stored = breast_of(15000, 45000, air=3000, rows=1500, columns=1000) + rng.normal(0, 500, (1500, 1000))
    label = np.zeros(stored.shape, np.uint8)
    for line in range(4):
        cv2.putText(label, "HOSPITAL 12345 R MLO", (620, 100 + 60 * line), cv2.FONT_HERSHEY_SIMPLEX, 0.9, 255, 3)
    stored[(label > 0)] = 65535
    stored[:, -60:] = stored[:40] = 65535
    assert kind_of(stored_image(np.clip(stored, 0, 65535), bits_stored=16)) == ""


def test_a_hot_pixel_makes_no_page_of_a_breast() -> None:
    stored = breast_of(400, 900, air=0, rows=1024, columns=768)
    hot = np.random.default_rng(2).random(stored.shape) < 3e-4
    stored[hot] = 16383
    assert hot.sum() > 100
    assert kind_of(stored_image(stored, bits_stored=14)) == ""


def test_no_phantom_is_filtered(phantom_root: Path) -> None:
    paths = sorted(phantom_root.rglob("*.dcm"))[:24]
    assert [kind_of(read_stored(path.read_bytes())) for path in paths] == [""] * 24


def test_no_real_mammogram_is_filtered(real_mammograms: Path) -> None:
    paths = sorted(real_mammograms.glob("*.dcm"))
    assert [kind_of(read_stored(path.read_bytes())) for path in paths] == [""] * 6
