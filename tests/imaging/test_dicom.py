"""The reader on real DICOM bytes: pixels after the intensity rule, identity, and refusals with a reason."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import JPEG2000Lossless
from tests.conftest import half_disc

from tilebank.errors import ImageError
from tilebank.imaging.dicom import read_header, read_mammogram

MakeDicom = Callable[..., bytes]
STORED = np.arange(4096, dtype=np.uint16).reshape(64, 64)


@pytest.mark.parametrize("syntax", [pydicom.uid.ExplicitVRLittleEndian, JPEG2000Lossless])
def test_full_range_window_keeps_stored_values(dicom_of: MakeDicom, syntax: str) -> None:
    content = dicom_of(STORED, syntax=syntax, WindowCenter="2048", WindowWidth="4096")
    mammogram = read_mammogram(content)
    np.testing.assert_array_equal(mammogram.pixels, STORED)
    assert (mammogram.max_value, mammogram.windowed_by, mammogram.header.transfer_syntax) == (4095, "window", syntax)


def test_both_polarities_of_one_breast_give_the_same_pixels(dicom_of: MakeDicom) -> None:
    window = {"WindowCenter": "2048", "WindowWidth": "4096"}
    plain = read_mammogram(dicom_of(STORED, **window))
    inverted = read_mammogram(dicom_of(4095 - STORED, PhotometricInterpretation="MONOCHROME1", **window))
    np.testing.assert_array_equal(plain.pixels, inverted.pixels)


def test_first_of_several_windows_counts(dicom_of: MakeDicom) -> None:
    several = read_mammogram(dicom_of(STORED, WindowCenter=["1000", "2000"], WindowWidth=["500", "100"]))
    single = read_mammogram(dicom_of(STORED, WindowCenter="1000", WindowWidth="500"))
    np.testing.assert_array_equal(several.pixels, single.pixels)


def test_voi_lut_comes_before_window(dicom_of: MakeDicom) -> None:
    item = Dataset()
    item.LUTDescriptor = [4096, 0, 12]
    item.LUTData = np.arange(4095, -1, -1, dtype="<u2").tobytes()
    mammogram = read_mammogram(
        dicom_of(STORED, VOILUTSequence=Sequence([item]), WindowCenter="2048", WindowWidth="4096")
    )
    np.testing.assert_array_equal(mammogram.pixels, 4095 - STORED)
    assert mammogram.windowed_by == "lut"


def test_rescale_comes_before_window(dicom_of: MakeDicom) -> None:
    scaled = read_mammogram(
        dicom_of(STORED, RescaleSlope="2", RescaleIntercept="-100", WindowCenter="1900", WindowWidth="2000")
    )
    modality = STORED.astype(float) * 2 - 100
    unit = np.clip((modality - 1899.5) / 1999 + 0.5, 0, 1)
    np.testing.assert_array_equal(scaled.pixels, np.rint(unit * 4095))


def test_signed_values_are_read(dicom_of: MakeDicom) -> None:
    signed = STORED.astype(np.int16) - 2048
    mammogram = read_mammogram(dicom_of(signed, WindowCenter="0", WindowWidth="4096"))
    np.testing.assert_array_equal(mammogram.pixels, STORED)


@pytest.mark.parametrize("window", [{}, {"WindowCenter": "100", "WindowWidth": "0"}])
def test_without_a_usable_window_the_value_range_is_used_padding_left_out(
    dicom_of: MakeDicom, window: dict[str, str]
) -> None:
    stored = STORED.copy()
    stored[0, :4] = 4000
    stored[1:, :] = np.clip(stored[1:, :], 1000, 3000)
    stored[0, 4:] = 1000
    mammogram = read_mammogram(dicom_of(stored, PixelPaddingValue=4000, **window))
    assert mammogram.windowed_by == "range"
    assert (mammogram.pixels[0, :4] == 0).all()
    assert (mammogram.pixels[stored == 3000] == 4095).all()
    assert (mammogram.pixels[stored == 1000] == 0).all()


def test_identity_falls_back_to_laterality_and_view_codes(dicom_of: MakeDicom) -> None:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "399368009", "SCT", "medio-lateral oblique"
    content = dicom_of(
        STORED, ImageLaterality=None, Laterality="R", ViewPosition=None, ViewCodeSequence=Sequence([code])
    )
    header = read_header(BytesIO(content))
    assert (header.laterality, header.view) == ("R", "MLO")


@pytest.mark.parametrize(
    ("tags", "says"),
    [
        ({"ImageLaterality": None}, "no side"),
        ({"ImageLaterality": "B"}, "no side"),
        ({"ViewPosition": None}, "no view"),
        ({"PatientID": None}, "no PatientID"),
        ({"NumberOfFrames": 3}, "single gray frame"),
    ],
)
def test_what_cannot_be_placed_is_refused_at_identify(dicom_of: MakeDicom, tags: dict[str, object], says: str) -> None:
    with pytest.raises(ImageError, match=says) as caught:
        read_header(BytesIO(dicom_of(STORED, **tags)))
    assert caught.value.stage == "identify"


@pytest.mark.parametrize("syntax", [pydicom.uid.ExplicitVRLittleEndian, JPEG2000Lossless])
@pytest.mark.parametrize("kept", [0.25, 0.5, 0.9, 0.99])
def test_a_truncated_file_is_refused_never_filled_in(dicom_of: MakeDicom, syntax: str, kept: float) -> None:
    noise = np.random.default_rng(0).integers(0, 4096, (64, 64), dtype=np.uint16)
    content = dicom_of(noise, syntax=syntax, WindowCenter="2048", WindowWidth="4096")
    with pytest.raises(ImageError) as caught:
        read_mammogram(content[: int(kept * len(content))])
    assert caught.value.stage == "decode"


@pytest.mark.parametrize(("content", "says"), [(b"", "empty"), (b"dear doctor, " * 99, "not a DICOM file")])
def test_what_is_no_dicom_says_so(content: bytes, says: str) -> None:
    with pytest.raises(ImageError, match=says):
        read_mammogram(content)


def test_no_patient_text_leaves_the_reader(dicom_of: MakeDicom) -> None:
    mammogram = read_mammogram(dicom_of(half_disc(64, 48), WindowCenter="2048", WindowWidth="4096"))
    assert "SECRET" not in repr(mammogram)


def test_real_mammograms_are_read_as_their_table_says(real_mammograms: Path) -> None:
    from tilebank.datasets.tables import read_table

    rows = read_table(str(real_mammograms / "images.csv"), required=["file", "laterality", "view", "rows", "columns"])
    assert len(rows) == 6
    for row in rows:
        mammogram = read_mammogram((real_mammograms / row["file"]).read_bytes())
        assert (mammogram.header.laterality, mammogram.header.view) == (row["laterality"], row["view"])
        assert mammogram.pixels.shape == (int(row["rows"]), int(row["columns"]))
        assert mammogram.header.patient_id == row["patient_id"]
        corners = [mammogram.pixels[y, x] for y in (0, -1) for x in (0, -1)]
        assert min(corners) < 40, "air is dark in either photometric interpretation"
