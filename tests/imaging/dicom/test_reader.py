"""From DICOM bytes to a header record and stored values: whole, or refused with a reason."""

import zlib
from collections.abc import Callable
from dataclasses import asdict
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    RLELossless,
)
from tests.conftest import half_disc

from tilebank.errors import ImageError
from tilebank.imaging.dicom import reader as dicom
from tilebank.imaging.dicom.header import ALLOWED_TAGS, Tags
from tilebank.imaging.dicom.manufacturers import manufacturer_of
from tilebank.imaging.dicom.reader import read_header, read_stored
from tilebank.phantom.vendors import VENDORS
from tilebank.terms import ImageKind

MakeDicom = Callable[..., bytes]
STORED = np.arange(4096, dtype=np.uint16).reshape(64, 64)
NATIVE = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
SECRETS = {  # patient text in places where it may really stand
    "PatientName": "SECRET^NAME",
    "PatientBirthDate": "19000101",
    "PatientComments": "SECRET",
    "StudyDescription": "SECRET",
    "SeriesDescription": "SECRET L CC",
    "OperatorsName": "SECRET",
    "InstitutionName": "SECRET",
    "PaddleDescription": "SECRET SPOT",
    "ImageComments": "SECRET",
}


def code(value: str, meaning: str = "") -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", meaning
    return item


def refusal(content: bytes) -> tuple[str, str]:
    with pytest.raises(ImageError) as caught:
        read_stored(content)
    assert "SECRET" not in str(caught.value)
    return caught.value.stage, caught.value.error_class


@pytest.mark.parametrize("syntax", [*NATIVE, RLELossless, JPEG2000Lossless, JPEGLosslessSV1])
@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("shape", [(64, 64), (7, 9)])
def test_stored_values_are_those_of_the_file(
    dicom_of: MakeDicom, syntax: str, bits: int, shape: tuple[int, int]
) -> None:
    stored = np.random.default_rng(0).integers(0, 1 << bits, shape).astype(np.uint16)
    tags = {"BitsAllocated": 8 if bits == 8 else 16, "BitsStored": bits, "HighBit": bits - 1}
    image = read_stored(dicom_of(stored, syntax=syntax, **tags))
    np.testing.assert_array_equal(image.stored, stored)
    assert (image.stored.dtype, image.header.transfer_syntax, image.padding) == (np.int32, syntax, None)
    assert image.header.warnings == ()


@pytest.mark.parametrize("syntax", NATIVE)
def test_native_pixels_are_those_that_pydicom_reads(dicom_of: MakeDicom, syntax: str) -> None:
    stored = np.random.default_rng(0).integers(0, 256, (7, 9)).astype(np.uint16)
    content = dicom_of(stored, syntax=syntax, BitsAllocated=8, BitsStored=8, HighBit=7)
    np.testing.assert_array_equal(read_stored(content).stored, pydicom.dcmread(BytesIO(content)).pixel_array)


@pytest.mark.parametrize("syntax", [*NATIVE, RLELossless, JPEG2000Lossless, JPEGLosslessSV1])
def test_signed_values_keep_their_sign(dicom_of: MakeDicom, syntax: str) -> None:
    signed = STORED.astype(np.int16) - 2048
    image = read_stored(dicom_of(signed, syntax=syntax))
    np.testing.assert_array_equal(image.stored, signed)
    assert image.rules.signed


def test_the_header_is_a_record_of_ids_and_technical_tags(dicom_of: MakeDicom) -> None:
    tags = {"WindowCenter": ["1", "2"], "WindowWidth": ["3", "4"], "ImagerPixelSpacing": [0.07, 0.08]}
    header = read_header(BytesIO(dicom_of(STORED, Manufacturer="HOLOGIC, Inc.", SOPInstanceUID="2.25.7", **tags)))
    assert asdict(header) == {
        "sop_instance_uid": "2.25.7",
        "patient_id": "P1",
        "study_uid": "2.25.1",
        "accession_number": "A1",
        "laterality": "L",
        "laterality_from": "ImageLaterality",
        "view": "CC",
        "view_from": "ViewPosition",
        "conflict": "",
        "kind": ImageKind.FFDM,
        "special": (),
        "sop_class": "1.2.840.10008.5.1.4.1.1.1.2",
        "transfer_syntax": ExplicitVRLittleEndian,
        "modality": "MG",
        "manufacturer": "Hologic",
        "photometric": "MONOCHROME2",
        "rows": 64,
        "columns": 64,
        "frames": 1,
        "samples": 1,
        "bits_allocated": 16,
        "bits_stored": 12,
        "high_bit": 11,
        "signed": False,
        "intensity": "linear",
        "windows": 2,
        "spacing_mm": (0.07, 0.08),
        "warnings": (),
    }


def test_the_header_is_read_without_the_pixels(dicom_of: MakeDicom) -> None:
    content = dicom_of(STORED, Manufacturer="SIEMENS")
    source = BytesIO(content[: -STORED.nbytes + 10])
    assert read_header(source).manufacturer == "Siemens"
    assert refusal(source.getvalue()) == ("decode", "PixelDataCutOff")


def test_no_patient_text_leaves_the_reader(dicom_of: MakeDicom) -> None:
    content = dicom_of(half_disc(64, 48), **SECRETS)
    image = read_stored(content)
    assert "SECRET" not in repr(image)
    assert image.header.special == ("spot",)


def test_what_is_no_known_word_in_a_coded_tag_or_no_known_maker_goes_no_further(dicom_of: MakeDicom) -> None:
    tags = dict.fromkeys(("Manufacturer", "ManufacturerModelName", "ViewPosition", "Modality"), "SECRET JANE")
    header = read_header(BytesIO(dicom_of(STORED, PhotometricInterpretation="SECRET JANE", **tags)))
    assert "SECRET" not in repr(header)
    assert (header.manufacturer, header.view, header.modality, header.photometric) == ("other", *["OTHER"] * 3)


@pytest.mark.parametrize(
    ("text", "maker"),
    [
        ("HOLOGIC, Inc.", "Hologic"),
        ("Lorad, A Hologic Company", "Hologic"),
        ("GE MEDICAL SYSTEMS", "GE"),
        ("SIEMENS Healthineers", "Siemens"),
        ("FUJIFILM Corporation", "Fujifilm"),
        ("IMS s.r.l.", "IMS Giotto"),
        ("Philips Digital Mammography Sweden AB", "Philips"),
        ("GERMAINE", "other"),
        ("", ""),
    ],
)
def test_a_maker_is_known_by_the_words_of_its_name(text: str, maker: str) -> None:
    assert manufacturer_of(text) == maker


def test_the_phantoms_makers_are_known() -> None:
    assert {manufacturer_of(name) for name in VENDORS} == set(VENDORS)


@pytest.mark.parametrize("cut", [400, 700, -9])
def test_no_error_quotes_patient_text(dicom_of: MakeDicom, cut: int) -> None:
    with pytest.raises(ImageError) as caught:
        read_stored(dicom_of(half_disc(64, 48), **SECRETS)[:cut])
    assert "SECRET" not in repr(caught.value)


def test_a_sequence_in_the_place_of_a_text_is_not_quoted(dicom_of: MakeDicom) -> None:
    hidden = Dataset()
    hidden.PatientName = "SECRET"
    content = dicom_of(STORED, Manufacturer="Somebody", ReferencedStudySequence=Sequence([hidden]))
    renamed = content.replace(b"\x08\0\x10\x11SQ", b"\x08\0\x90\x10SQ")  # ReferencedStudySequence as the model's name
    assert renamed != content
    header = read_header(BytesIO(renamed))
    assert "ManufacturerModelName cannot be read" in header.warnings


def test_only_allowed_tags_can_be_asked_for() -> None:
    assert not {"PatientName", "PatientBirthDate", "StudyDescription", "InstitutionName"} & ALLOWED_TAGS
    with pytest.raises(KeyError, match="PatientName"):
        Tags(Dataset()).value("PatientName")


def test_rules_hold_what_the_file_says(dicom_of: MakeDicom) -> None:
    item = Dataset()
    item.LUTDescriptor = [16, 100, 12]
    item.LUTData = np.arange(0, 4096, 256, dtype="<u2").tobytes()
    tags = {"WindowCenter": "9", "WindowWidth": "7", "VOILUTFunction": "sigmoid", "VOILUTSequence": Sequence([item])}
    rules = read_stored(dicom_of(STORED, RescaleSlope="2", RescaleIntercept="-3", **tags)).rules
    assert (rules.slope, rules.intercept, rules.windows, rules.function) == (2, -3, ((9, 7),), "SIGMOID")
    assert rules.voi_lut is not None
    assert (rules.voi_lut.first, rules.voi_lut.bits, rules.voi_lut.values.tolist()) == (
        100,
        12,
        list(range(0, 4096, 256)),
    )
    assert (rules.modality_lut, rules.inverted, rules.bits_stored, rules.signed) == (None, False, 12, False)
    assert read_stored(dicom_of(STORED, PhotometricInterpretation="MONOCHROME1")).rules.inverted


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_a_table_is_the_same_in_either_byte_order(dicom_of: MakeDicom, syntax: str) -> None:
    item = Dataset()
    item.LUTDescriptor = [4, 0, 16]
    big = syntax == ExplicitVRBigEndian
    item.add_new("LUTData", "OW", np.array([1, 2, 300, 4], dtype=">u2" if big else "<u2").tobytes())
    rules = read_stored(dicom_of(STORED, syntax=syntax, VOILUTSequence=Sequence([item]))).rules
    assert rules.voi_lut is not None
    assert rules.voi_lut.values.tolist() == [1, 2, 300, 4]


@pytest.mark.parametrize("broken", ["VOILUTSequence", "ModalityLUTSequence"])
def test_a_broken_table_is_left_out_and_told(dicom_of: MakeDicom, broken: str) -> None:
    item = Dataset()
    item.LUTDescriptor = [4096, 0, 12]
    item.LUTData = b"\0\1" * 10
    image = read_stored(
        dicom_of(STORED, WindowCenter="9", WindowWidth="7", **{broken: Sequence([item])}),
    )
    assert (image.rules.voi_lut, image.rules.modality_lut) == (None, None)
    assert image.rules.windows == (((9, 7),) if broken == "VOILUTSequence" else ())
    assert any(broken in warning for warning in image.header.warnings)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_padding_is_where_value_and_limit_say(dicom_of: MakeDicom, syntax: str) -> None:
    image = read_stored(dicom_of(STORED, syntax=syntax, PixelPaddingValue=4000, PixelPaddingRangeLimit=4010))
    np.testing.assert_array_equal(image.padding, (STORED >= 4000) & (STORED <= 4010))


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_padding_of_signed_pixels_may_be_negative(dicom_of: MakeDicom, syntax: str) -> None:
    signed = STORED.astype(np.int16) - 2048
    image = read_stored(dicom_of(signed, syntax=syntax, PixelPaddingValue=-2048))
    np.testing.assert_array_equal(image.padding, signed == -2048)


def test_functional_groups_speak_where_the_object_does_not(dicom_of: MakeDicom) -> None:
    anatomy, voi, measures, group = Dataset(), Dataset(), Dataset(), Dataset()
    anatomy.FrameLaterality = "R"
    voi.WindowCenter, voi.WindowWidth = "100", "50"
    measures.PixelSpacing = [0.1, 0.1]
    group.FrameAnatomySequence = Sequence([anatomy])
    group.FrameVOILUTSequence = Sequence([voi])
    group.PixelMeasuresSequence = Sequence([measures])
    group.ViewCodeSequence = Sequence([code("399368009")])
    tags = {"ImageLaterality": None, "ViewPosition": None, "SharedFunctionalGroupsSequence": Sequence([group])}
    image = read_stored(dicom_of(STORED, **tags))
    assert (image.header.laterality, image.header.view, image.header.spacing_mm) == ("R", "MLO", (0.1, 0.1))
    assert image.rules.windows == ((100, 50),)


def test_a_value_that_cannot_be_read_is_as_good_as_none_and_told(dicom_of: MakeDicom) -> None:
    content = dicom_of(STORED, WindowCenter="2048", WindowWidth="4096", ImagerPixelSpacing=[0.07, 0.07])
    header = read_header(BytesIO(content.replace(b"2048", b"2O48").replace(b"0.07\\0.07", b"0.07\\----")))
    assert (header.windows, header.intensity, header.spacing_mm) == (0, "none", None)
    assert "WindowCenter cannot be read" in header.warnings
    assert "ImagerPixelSpacing cannot be read" in header.warnings


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, JPEG2000Lossless, JPEGLosslessSV1, RLELossless])
@pytest.mark.parametrize("kept", [0.25, 0.5, 0.9, 0.99])
def test_a_truncated_file_is_refused_never_filled_in(dicom_of: MakeDicom, syntax: str, kept: float) -> None:
    noise = np.random.default_rng(0).integers(0, 4096, (64, 64), dtype=np.uint16)
    content = dicom_of(noise, syntax=syntax, WindowCenter="2048", WindowWidth="4096")
    assert refusal(content[: int(kept * len(content))]) == ("decode", "PixelDataCutOff")


def test_an_object_of_too_many_pixels_is_refused_before_it_is_decoded(dicom_of: MakeDicom) -> None:
    assert refusal(dicom_of(STORED, Rows=60_000, Columns=60_000)) == ("decode", "TooLarge")


def test_a_deflated_file_that_holds_too_much_is_refused(dicom_of: MakeDicom, monkeypatch: pytest.MonkeyPatch) -> None:
    content = dicom_of(np.zeros((512, 512), np.uint16), syntax=DeflatedExplicitVRLittleEndian)
    assert len(content) < 5_000
    assert read_stored(content).stored.shape == (512, 512)
    monkeypatch.setattr(dicom, "MAX_INFLATED_BYTES", 100_000)
    assert refusal(content) == ("read", "TooLarge")


def test_a_deflated_file_that_is_cut_off_is_refused(dicom_of: MakeDicom) -> None:
    content = dicom_of(STORED, syntax=DeflatedExplicitVRLittleEndian)
    assert refusal(content[:-200]) == ("read", "HeaderDamaged")
    assert refusal(content[:600] + zlib.compress(b"no such stream")) == ("read", "HeaderDamaged")


def test_real_mammograms_are_read_as_their_table_says(real_mammograms: Path) -> None:
    from tilebank.datasets.tables import read_table

    rows = read_table(str(real_mammograms / "images.csv"), required=["file", "laterality", "view", "rows", "columns"])
    assert len(rows) == 6
    for row in rows:
        content = (real_mammograms / row["file"]).read_bytes()
        image = read_stored(content)
        header = image.header
        assert (header.laterality, header.view, header.conflict) == (row["laterality"], row["view"], "")
        assert image.stored.shape == (int(row["rows"]), int(row["columns"])) == (header.rows, header.columns)
        assert (header.patient_id, header.kind, header.special) == (row["patient_id"], ImageKind.FFDM, ())
        assert (header.intensity, header.windows) == ("linear", 1)
        assert header.spacing_mm == (0.07, 0.07)
        assert (image.stored.min(), image.stored.max()) == (0, 4095)
        assert image.rules.inverted == (header.photometric == "MONOCHROME1")
