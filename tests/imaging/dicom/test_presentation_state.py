"""Suggested boxes as presentation states: where they lie, what they name, what they carry, and what is refused."""

import logging
from dataclasses import replace
from datetime import datetime
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from highdicom._standard_utils import check_required_attributes, get_iod_module_map, get_module_attribute_map
from pydicom.uid import JPEG2000Lossless
from tests.conftest import half_disc, make_dicom

from tilebank.errors import ImageError
from tilebank.imaging.dicom.presentation_state import MarkAuthor, mark_image
from tilebank.terms import ScoredBox, TileBox

AUTHOR = MarkAuthor("dual_stream on texture vectors", "1.2.0", datetime(2026, 3, 4, 5, 6, 7))
INSIDE = ScoredBox(TileBox(10, 20, 30, 40), 0.91)
PAST_THE_EDGES = ScoredBox(TileBox(-16, 240, 64, 64), 0.125)
PIXELS = half_disc(256, 192)  # rows, columns
IDS = {"SeriesInstanceUID": "2.25.7", "StudyID": "S1", "StudyDate": "20250102", "StudyTime": "030405"}
WINDOW = {"WindowCenter": "2048", "WindowWidth": "4096"}


def image(**tags: object) -> bytes:
    return make_dicom(PIXELS, **(IDS | WINDOW | tags))


def marks_of(content: bytes, *boxes: ScoredBox, **more: object) -> pydicom.Dataset:
    with pydicom.config.strict_reading():
        return pydicom.dcmread(BytesIO(mark_image(content, boxes or (INSIDE,), author=AUTHOR, **more)))


def boxes_in(marks: pydicom.Dataset) -> list[tuple[int, ...]]:
    """Left, top, right, bottom of each closed line."""
    found = []
    for shape in marks.GraphicAnnotationSequence[0].GraphicObjectSequence:
        assert (shape.GraphicType, shape.GraphicAnnotationUnits, shape.NumberOfGraphicPoints) == (
            "POLYLINE",
            "PIXEL",
            5,
        )
        points = np.reshape(shape.GraphicData, (5, 2))
        np.testing.assert_array_equal(points[0], points[4])
        found.append(tuple(int(end) for end in (*points.min(axis=0), *points.max(axis=0))))
    return found


def assert_mandatory(marks: pydicom.Dataset) -> None:
    """What the standard's tables ask of every presentation state is there, and of type 1 not empty."""
    for module in get_iod_module_map()["grayscale-softcopy-presentation-state"]:
        if module["usage"] == "M":
            check_required_attributes(marks, module=module["key"])
            for attribute in get_module_attribute_map()[module["key"]]:
                if attribute["type"] == "1" and not attribute["path"]:
                    assert marks[attribute["keyword"]].VM > 0, (module["key"], attribute["keyword"])


def test_boxes_come_back_in_the_pixels_as_stored_cut_at_the_edges() -> None:
    marks = marks_of(image(), INSIDE, PAST_THE_EDGES)
    assert boxes_in(marks) == [(10, 20, 40, 60), (0, 240, 48, 256)]
    words = marks.GraphicAnnotationSequence[0].TextObjectSequence
    assert [text.UnformattedTextValue for text in words] == ["0.91", "0.125"]
    assert [list(text.AnchorPoint) for text in words] == [[10, 20], [0, 240]]
    (area,) = marks.DisplayedAreaSelectionSequence  # whose corners count pixels from 1, unlike a graphic's
    assert area.DisplayedAreaTopLeftHandCorner == [1, 1]
    assert area.DisplayedAreaBottomRightHandCorner == [192, 256]
    assert_mandatory(marks)


def test_marks_name_their_image_and_stand_in_a_series_of_their_own() -> None:
    content = image()
    source, marks = pydicom.dcmread(BytesIO(content)), marks_of(content)
    assert marks.SOPClassUID == pydicom.uid.GrayscaleSoftcopyPresentationStateStorage
    assert marks.Modality == "PR"
    assert marks.StudyInstanceUID == source.StudyInstanceUID
    assert marks.SeriesInstanceUID != source.SeriesInstanceUID
    (series,) = marks.ReferencedSeriesSequence
    (named,) = series.ReferencedImageSequence
    assert series.SeriesInstanceUID == source.SeriesInstanceUID
    assert (named.ReferencedSOPClassUID, named.ReferencedSOPInstanceUID) == (source.SOPClassUID, source.SOPInstanceUID)
    (on,) = marks.GraphicAnnotationSequence[0].ReferencedImageSequence
    assert on.ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert (marks.ManufacturerModelName, marks.SoftwareVersions) == (AUTHOR.algorithm, AUTHOR.version)
    assert "research" in marks.ContentDescription
    assert (marks.PresentationCreationDate, marks.PresentationCreationTime) == ("20260304", "050607")


@pytest.mark.parametrize(("photometric", "shape"), [("MONOCHROME1", "INVERSE"), ("MONOCHROME2", "IDENTITY")])
def test_the_image_keeps_its_polarity_and_its_window(photometric: str, shape: str) -> None:
    content = image(
        PhotometricInterpretation=photometric, VOILUTFunction="SIGMOID", RescaleSlope=2, RescaleIntercept=-5
    )
    marks = marks_of(content)
    assert marks.PresentationLUTShape == shape
    (voi,) = marks.SoftcopyVOILUTSequence
    assert (voi.WindowCenter, voi.WindowWidth, voi.VOILUTFunction) == (2048, 4096, "SIGMOID")
    assert (marks.RescaleSlope, marks.RescaleIntercept) == (2, -5)


def test_a_window_that_cannot_be_followed_is_left_to_the_viewer() -> None:
    for broken in ({"WindowWidth": "0"}, {"WindowCenter": ["1", "2"]}, {"RescaleSlope": "0", "RescaleIntercept": "0"}):
        marks = marks_of(image(**broken))
        assert "SoftcopyVOILUTSequence" not in marks, broken
        assert_mandatory(marks)


def test_of_several_windows_or_tables_the_first_stands() -> None:
    two = {"WindowCenter": ["2048", "1000"], "WindowWidth": ["4096", "500"]}
    (voi,) = marks_of(image(**two)).SoftcopyVOILUTSequence
    assert (voi.WindowCenter, voi.WindowWidth) == (2048, 4096)
    tables = [pydicom.Dataset(), pydicom.Dataset()]
    for number, table in enumerate(tables):
        table.LUTDescriptor, table.LUTData = [4096, 0, 12], (np.arange(4096, dtype="<u2") // (1 + number)).tobytes()
        table["LUTDescriptor"].VR, table["LUTData"].VR = "US", "OW"
    (voi,) = marks_of(image(VOILUTSequence=tables)).SoftcopyVOILUTSequence
    (table,) = voi.VOILUTSequence
    np.testing.assert_array_equal(np.frombuffer(table.LUTData, "<u2"), np.arange(4096))
    assert "WindowCenter" not in voi, "the reader takes the table too"


def test_the_patient_is_carried_as_it_stands_and_no_more_of_it() -> None:
    name = "Müller^Jörg"
    more = {
        "PatientBirthDate": "19500101",
        "PatientSex": "O",
        "PatientComments": "COMMENT",
        "InstitutionName": "CLINIC",
    }
    content = image(SpecificCharacterSet="ISO_IR 100", PatientName=name, IssuerOfPatientID="HERE", **more)
    raw = mark_image(content, [INSIDE], author=AUTHOR)
    marks = pydicom.dcmread(BytesIO(raw))
    assert str(marks.PatientName) == name
    carried = (
        marks.PatientID,
        marks.PatientBirthDate,
        marks.PatientSex,
        marks.IssuerOfPatientID,
        marks.AccessionNumber,
    )
    assert carried == ("P1", "19500101", "O", "HERE", "A1")
    assert (marks.StudyID, marks.StudyDate) == ("S1", "20250102")
    assert b"COMMENT" not in raw
    assert b"CLINIC" not in raw


def test_what_an_anonymous_file_lost_is_empty() -> None:
    bare = dict.fromkeys(("PatientName", "PatientID", "AccessionNumber", "StudyID", "StudyDate", "StudyTime"))
    marks = marks_of(image(**bare))
    assert str(marks.PatientName) == marks.PatientID == marks.StudyDate == ""
    assert_mandatory(marks)


def test_nothing_of_the_patient_is_logged_or_in_an_error(caplog: pytest.LogCaptureFixture, capsys) -> None:
    odd = {"PatientName": "SECRET", "PatientSex": "SECRET", "PatientBirthDate": "SECRET", "StudyDate": "SECRET"}
    with caplog.at_level(logging.DEBUG):
        mark_image(image(**odd), [INSIDE], author=AUTHOR)
        with pytest.raises(ImageError) as refused:
            mark_image(image(SeriesInstanceUID=None, **odd), [INSIDE], author=AUTHOR)
    assert "SECRET" not in caplog.text + str(refused.value) + "".join(capsys.readouterr())


def test_the_same_marks_are_the_same_bytes_and_others_have_other_ids() -> None:
    content = image()
    assert mark_image(content, [INSIDE], author=AUTHOR) == mark_image(content, [INSIDE], author=AUTHOR)
    first, other = marks_of(content), marks_of(content, replace(INSIDE, score=0.5))
    assert first.SeriesInstanceUID == other.SeriesInstanceUID
    later = replace(AUTHOR, made_at=datetime(2026, 3, 5))
    third = pydicom.dcmread(BytesIO(mark_image(content, [INSIDE], author=later)))
    assert third.SeriesInstanceUID != first.SeriesInstanceUID
    assert len({each.SOPInstanceUID for each in (first, other, third, marks_of(content, number=2))}) == 4


@pytest.mark.parametrize("name", ["SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"])
def test_an_image_that_no_object_can_name_is_refused(name: str) -> None:
    with pytest.raises(ImageError, match=f"no {name}"):
        mark_image(image(**{name: None}), [INSIDE], author=AUTHOR)


def test_what_is_no_gray_image_is_refused() -> None:
    with pytest.raises(ImageError, match="DICM"):
        mark_image(b"no dicom" * 100, [INSIDE], author=AUTHOR)
    for tags in ({"NumberOfFrames": 2}, {"PhotometricInterpretation": "RGB"}, {"Rows": None}):
        with pytest.raises(ImageError):
            mark_image(image(**tags), [INSIDE], author=AUTHOR)


def test_a_caller_hears_of_boxes_and_names_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="none of 1 boxes"):
        mark_image(image(), [ScoredBox(TileBox(500, 0, 10, 10), 1)], author=AUTHOR)
    with pytest.raises(ValueError, match="none of 0 boxes"):
        mark_image(image(), [], author=AUTHOR)
    for algorithm in ("a" * 65, "", "a\\b", "Grüße", "two\nlines"):
        with pytest.raises(ValueError, match="64 characters"):
            replace(AUTHOR, algorithm=algorithm)


def test_compressed_and_real_images_are_marked(real_mammograms: Path) -> None:
    contents = [image(syntax=JPEG2000Lossless), *(path.read_bytes() for path in sorted(real_mammograms.glob("*.dcm")))]
    assert len(contents) == 7
    for content in contents:
        source = pydicom.dcmread(BytesIO(content), stop_before_pixels=True)
        marks = marks_of(content, INSIDE)
        assert_mandatory(marks)
        assert boxes_in(marks) == [(10, 20, 40, 60)]
        assert (
            marks.ReferencedSeriesSequence[0].ReferencedImageSequence[0].ReferencedSOPInstanceUID
            == source.SOPInstanceUID
        )
        assert marks.PresentationLUTShape == {"1": "INVERSE", "2": "IDENTITY"}[source.PhotometricInterpretation[-1]]
