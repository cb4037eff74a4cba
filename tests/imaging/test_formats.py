"""Another image format is two functions and one row of FORMATS."""

from dataclasses import replace
from io import BytesIO
from typing import BinaryIO

import cv2
import numpy as np
import pytest
from tests.conftest import make_dicom
from tests.headers import HEADER
from tests.imaging.stored_images import RULES, breast_of

from tilebank.errors import ImageError
from tilebank.imaging import formats
from tilebank.imaging.breast import MaskConfig
from tilebank.imaging.intensity import ReaderConfig, StoredImage
from tilebank.imaging.reader import read_mammogram
from tilebank.terms import ImageHeader

PIXELS = breast_of(500, 3500, air=20)
PNG = bytes(cv2.imencode(".png", PIXELS)[1].tobytes())
PNG_HEADER = replace(HEADER, sop_instance_uid="", patient_id="", laterality="", view="", warnings=())


def read_png_header(source: BinaryIO) -> ImageHeader:
    height, width = (int.from_bytes(source.read(24)[at : at + 4], "big") for at in (20, 16) if not source.seek(0))
    return replace(PNG_HEADER, rows=height, columns=width)


def read_png(content: bytes) -> StoredImage:
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert pixels is not None
    return StoredImage(read_png_header(BytesIO(content)), pixels.astype(np.int32), None, RULES)


def test_a_png_is_no_image_until_a_row_names_its_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImageError, match="looks like a PNG"):
        formats.read_header(BytesIO(PNG))
    row = formats.ImageFormat(b"\x89PNG", read_png_header, read_png)
    monkeypatch.setattr(formats, "FORMATS", {"png": row, **formats.FORMATS})
    assert (formats.read_header(BytesIO(PNG)).rows, formats.read_header(BytesIO(PNG)).columns) == PIXELS.shape
    dicom = make_dicom(PIXELS, WindowCenter="2048", WindowWidth="4096")
    read = [read_mammogram(content, reader=ReaderConfig(), mask=MaskConfig()) for content in (PNG, dicom)]
    np.testing.assert_array_equal(read[0].pixels, read[1].pixels)
    np.testing.assert_array_equal(read[0].breast, read[1].breast)


def test_a_source_is_read_from_its_start() -> None:
    content = make_dicom(PIXELS)
    assert formats.read_header(BytesIO(content)).patient_id == "P1"
    assert formats.read_stored(content).stored.shape == PIXELS.shape
