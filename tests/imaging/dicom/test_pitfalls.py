"""What goes wrong with real mammograms: a file for each pitfall, and what becomes of it.

`outcome` does what a run does with a file before its intensities: read the header, ask whether the image is wanted,
place it, decode it. A row is a pitfall: how the file is made, and what it must lead to. The stored values of every
accepted file are those that went in, unless the row says otherwise.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from tests.conftest import encode_frame, make_dicom

from tilebank.datasets.intake import IntakeConfig, assert_included, place_image
from tilebank.errors import ImageError
from tilebank.imaging.dicom.reader import read_header, read_stored

PIXELS = np.random.default_rng(0).integers(0, 4096, (40, 32)).astype(np.uint16)
STORAGE = "1.2.840.10008.5.1.4.1.1."
SYNTAX = "1.2.840.10008.1.2."
J2K, JPEG_LOSSLESS, EXPLICIT = SYNTAX + "4.90", SYNTAX + "4.70", SYNTAX + "1"
WANTED = IntakeConfig()


def outcome(content: bytes, intake: IntakeConfig = WANTED) -> tuple[dict[str, Any], NDArray[np.int32] | None]:
    """What becomes of a file, and its stored values where it is accepted."""
    said: dict[str, Any] = {}
    try:
        header = read_header(BytesIO(content))
        said = {"kind": header.kind.value, "special": header.special, "warnings": len(header.warnings)}
        assert_included(header.kind, view=header.view, special=header.special, intake=intake)
        place = place_image(header)
        said |= {"breast": f"{place.laterality} {place.view}", "by": f"{place.laterality_from}, {place.view_from}"}
        image = read_stored(content)
    except ImageError as error:
        return said | {"verdict": f"{error.stage} {error.error_class}"}, None
    said["warnings"] = len(image.header.warnings)
    return said | {"verdict": "accept"}, image.stored


@dataclass(frozen=True)
class Pitfall:
    """`make` gives the bytes; `expected` is a part of what `outcome` must say; stored: the values, if not PIXELS."""

    name: str
    make: Callable[[], bytes]
    expected: dict[str, Any] = field(default_factory=lambda: {"verdict": "accept"})
    stored: NDArray[Any] | None = None


def accept(**said: Any) -> dict[str, Any]:
    return {"verdict": "accept", "kind": "ffdm", "special": (), "warnings": 0} | said


def stop(verdict: str, **said: Any) -> dict[str, Any]:
    return {"verdict": verdict} | said


def tagged(**tags: Any) -> Callable[[], bytes]:
    return lambda: make_dicom(PIXELS, **tags)


def coded(value: str, meaning: str = "", *modifiers: str) -> Sequence:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SRT", meaning
    item.ViewModifierCodeSequence = Sequence([coded(modifier)[0] for modifier in modifiers])
    return Sequence([item])


def in_groups(**tags: Any) -> Sequence:
    group, inner = Dataset(), Dataset()
    for name, value in tags.items():
        setattr(inner, name, value)
    group.FrameAnatomySequence = Sequence([inner])
    return Sequence([group])


def packed(value: bytes, *, end: bytes = b"\xfe\xff\xdd\xe0\0\0\0\0", syntax: str = J2K, **tags: Any) -> bytes:
    """A compressed file with this as the value of its pixel data."""
    content = make_dicom(PIXELS, syntax=syntax, **tags)
    start = content.index(b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff") + 12
    return content[:start] + value + end


def j2k_frame(bits: int = 12) -> bytes:
    return encode_frame(PIXELS, syntax=J2K, bits=bits)


def with_tables(content: bytes, *, lengths: int) -> bytes:
    """The file with an Extended Offset Table of one frame that is so long."""
    tables = b"\xe0\x7f\x01\x00OV\0\0" + struct.pack("<IQ", 8, 0) + b"\xe0\x7f\x02\x00OV\0\0"
    start = content.index(b"\xe0\x7f\x10\x00OB")
    return content[:start] + tables + struct.pack("<IQ", 8, lengths) + content[start:]


def without_end_marker() -> bytes:
    frame = j2k_frame()
    return packed(encapsulate([frame[:-40]]))


def of_another_class(sop_class: str, **tags: Any) -> Callable[[], bytes]:
    return tagged(SOPClassUID=STORAGE + sop_class, **tags)


def report() -> bytes:
    """A dose report: a structured report, explicit big endian, without pixels."""
    content = make_dicom(PIXELS, syntax=SYNTAX + "2", SOPClassUID=STORAGE + "88.67", Modality="SR", Rows=None)
    return content[: content.index(b"\x7f\xe0\x00\x10")]


def without_pixels(**tags: Any) -> bytes:
    content = make_dicom(PIXELS, **tags)
    return content[: content.index(b"\xe0\x7f\x10\x00")]


def claims_to_be_huge() -> bytes:
    frame = bytearray(j2k_frame())
    frame[8:16] = struct.pack(">II", 60_000, 60_000)
    return make_dicom(PIXELS, syntax=J2K, frame=bytes(frame))


def colour() -> bytes:
    frame = imagecodecs.jpeg8_encode(np.zeros((40, 32, 3), np.uint8), level=90)
    return make_dicom(PIXELS, syntax=SYNTAX + "4.50", frame=frame, BitsAllocated=8, BitsStored=8, HighBit=7)


ROWS = [
    # which breast
    Pitfall("side and view where they belong", tagged(), accept(breast="L CC", by="ImageLaterality, ViewPosition")),
    Pitfall(
        "side only in Laterality", tagged(ImageLaterality=None, Laterality="R"), accept(by="Laterality, ViewPosition")
    ),
    Pitfall(
        "side only in the functional groups",
        tagged(ImageLaterality=None, SharedFunctionalGroupsSequence=in_groups(FrameLaterality="R")),
        accept(breast="R CC", by="FrameLaterality, ViewPosition"),
    ),
    Pitfall(
        "side only in the words of the view",
        tagged(ImageLaterality=None, ViewPosition="RIGHT MLO"),
        accept(breast="R MLO", by="ViewPosition, ViewPosition"),
    ),
    Pitfall(
        "side and view only in the series' name",
        tagged(ImageLaterality=None, ViewPosition=None, SeriesDescription="R MLO"),
        accept(breast="R MLO", by="SeriesDescription, SeriesDescription"),
    ),
    Pitfall("both breasts are no side", tagged(ImageLaterality="B"), stop("identify SideMissing")),
    Pitfall("no side at all", tagged(ImageLaterality=None), stop("identify SideMissing")),
    Pitfall("two sides", tagged(Laterality="R"), stop("identify SelfContradiction")),
    Pitfall(
        "the series' name says the other side", tagged(SeriesDescription="RCC"), stop("identify SelfContradiction")
    ),
    Pitfall("a side that is blank in its own tag", tagged(ImageLaterality="", Laterality="R"), accept(breast="R CC")),
    # which view
    Pitfall(
        "view only as an SRT code",
        tagged(ViewPosition=None, ViewCodeSequence=coded("R-10226")),
        accept(breast="L MLO", by="ImageLaterality, ViewCodeSequence"),
    ),
    Pitfall(
        "view only as an SCT code",
        tagged(ViewPosition=None, ViewCodeSequence=coded("399162004")),
        accept(breast="L CC"),
    ),
    Pitfall(
        "view only as a code's meaning",  # as in CMMD
        tagged(ViewPosition=None, ViewCodeSequence=coded("?", "medio-lateral oblique")),
        accept(breast="L MLO"),
    ),
    Pitfall("no view at all", tagged(ViewPosition=None), stop("identify ViewMissing")),
    Pitfall("two views", tagged(ViewCodeSequence=coded("R-10226")), stop("identify SelfContradiction")),
    Pitfall("a view in lower case and blanks", tagged(ViewPosition=" mlo"), accept(breast="L MLO")),
    Pitfall("a lateral view", tagged(ViewPosition="ML"), stop("filter view-ML")),
    Pitfall(
        "an exaggerated view", tagged(ViewPosition=None, ViewCodeSequence=coded("Y-X1770")), stop("filter view-XCCL")
    ),
    Pitfall("a view of no breast", tagged(ViewPosition="FLATFIELD"), stop("filter view-FLATFIELD")),
    Pitfall("a name in the place of a view", tagged(ViewPosition="MUSTERFRAU ERIKA"), stop("filter view-OTHER")),
    # special views
    Pitfall("implant displaced", tagged(ViewPosition="MLOID"), stop("filter implant_displaced")),
    Pitfall("an implant that is merely there", tagged(SeriesDescription="L CC implant"), accept()),
    Pitfall("an identifier named ID", tagged(SeriesDescription="MAMMO ID L CC"), accept()),
    Pitfall("spot, by its paddle", tagged(PaddleDescription="SPOT CONTACT"), stop("filter spot")),
    Pitfall(
        "spot, by its modifier",
        tagged(ViewCodeSequence=coded("R-10242", "", "R-102D7")),
        stop("filter spot", special=("spot",)),
    ),
    Pitfall("magnified", tagged(EstimatedRadiographicMagnificationFactor="1.8"), stop("filter magnification")),
    Pitfall("contact geometry is not magnified", tagged(EstimatedRadiographicMagnificationFactor="1.073"), accept()),
    Pitfall("nipple in profile is standard", tagged(ViewCodeSequence=coded("R-10242", "", "R-40AB3")), accept()),
    Pitfall("specimen", tagged(ViewPosition=None, ViewCodeSequence=coded("G-8310")), stop("filter specimen")),
    Pitfall("stereotactic", tagged(ImageType=["DERIVED", "PRIMARY", "STEREO_SCOUT"]), stop("filter stereotactic")),
    # what it is
    Pitfall("raw detector values", of_another_class("1.2.1"), stop("filter for_processing")),
    Pitfall("raw by its intent", tagged(PresentationIntentType="FOR PROCESSING"), stop("filter for_processing")),
    Pitfall(
        "synthetic by its type",
        tagged(ImageType=["DERIVED", "PRIMARY", "TOMO", "GENERATED_2D"]),
        stop("filter synthetic"),
    ),
    Pitfall("synthetic by its series", tagged(SeriesDescription="L CC C-View"), stop("filter synthetic")),
    Pitfall("many frames", tagged(NumberOfFrames=60), stop("filter tomosynthesis")),
    Pitfall("tomosynthesis", of_another_class("13.1.3"), stop("filter tomosynthesis")),
    Pitfall("one frame, stated", tagged(NumberOfFrames="1"), accept()),
    Pitfall("a secondary capture of modality MG", of_another_class("7"), stop("filter secondary_capture")),
    Pitfall("digitised film", of_another_class("7", ConversionType="DF"), stop("filter film")),
    Pitfall("a screen save", of_another_class("7", BurnedInAnnotation="YES"), stop("filter screensave")),
    Pitfall("colour", tagged(SamplesPerPixel=3, PhotometricInterpretation="RGB"), stop("filter screensave")),
    Pitfall("a view marker stated as burned in", tagged(BurnedInAnnotation="YES"), accept(warnings=1)),
    Pitfall("a dose report in big endian", report, stop("filter not_an_image")),
    Pitfall(
        "a secondary capture without pixels",
        lambda: without_pixels(SOPClassUID=STORAGE + "7"),
        stop("filter not_an_image"),
    ),
    Pitfall("ultrasound", of_another_class("6.1", Modality="US"), stop("filter other")),
    # how it is packed
    Pitfall("implicit", tagged(syntax="1.2.840.10008.1.2"), accept()),
    Pitfall("big endian", tagged(syntax=SYNTAX + "2"), accept()),
    Pitfall("deflated", tagged(syntax=SYNTAX + "1.99"), accept()),
    Pitfall("RLE", tagged(syntax=SYNTAX + "5"), accept()),
    Pitfall("JPEG lossless", tagged(syntax=JPEG_LOSSLESS), accept()),
    Pitfall("JPEG lossless, any predictor", tagged(syntax=SYNTAX + "4.57"), accept()),
    Pitfall("JPEG-LS", tagged(syntax=SYNTAX + "4.80"), accept()),
    Pitfall("JPEG 2000", tagged(syntax=J2K), accept()),
    Pitfall("High-Throughput JPEG 2000", tagged(syntax=SYNTAX + "4.201"), accept()),
    Pitfall(
        "12-bit JPEG extended",
        lambda: make_dicom(PIXELS * 0 + 2048, syntax=SYNTAX + "4.51"),
        accept(),
        stored=PIXELS * 0 + 2048,
    ),
    Pitfall(
        "an unknown syntax",
        lambda: make_dicom(PIXELS, syntax=J2K).replace(b"4.90", b"4.99"),
        stop("decode SyntaxUnknown"),
    ),
    Pitfall("fragments", lambda: packed(encapsulate([j2k_frame()], fragments_per_frame=4)), accept()),
    Pitfall("no offset table", lambda: packed(encapsulate([j2k_frame()], has_bot=False)), accept()),
    Pitfall(
        "an extended offset table",
        lambda: with_tables(make_dicom(PIXELS, syntax=J2K), lengths=len(j2k_frame())),
        accept(),
    ),
    Pitfall("two frames in one", lambda: packed(encapsulate([j2k_frame()] * 2)), stop("decode NotOneGrayFrame")),
    Pitfall("a colour codestream", colour, stop("decode NotOneGrayFrame")),
    Pitfall(
        "another codestream than the syntax says",
        lambda: make_dicom(PIXELS, syntax=J2K, frame=encode_frame(PIXELS, syntax=JPEG_LOSSLESS, bits=12)),
        stop("decode SyntaxMismatch"),
    ),
    Pitfall(
        "native pixels under a compressed syntax",
        lambda: (
            make_dicom(PIXELS)
            .replace(EXPLICIT.encode() + b"\0", EXPLICIT.encode() + b"\0")
            .replace(b"UI\x14\x00" + EXPLICIT.encode() + b"\0", b"UI\x14\x00" + (SYNTAX + "5").encode() + b"\0")
        ),
        stop("decode SyntaxMismatch"),
    ),
    # depth
    Pitfall(
        "8 bits",
        lambda: make_dicom(PIXELS & 255, BitsAllocated=8, BitsStored=8, HighBit=7),
        accept(),
        stored=PIXELS & 255,
    ),
    Pitfall(
        "an odd number of bytes",
        lambda: make_dicom(PIXELS[:5, :5] & 255, BitsAllocated=8, BitsStored=8, HighBit=7),
        accept(),
        stored=PIXELS[:5, :5] & 255,
    ),
    Pitfall("dirty high bits", lambda: make_dicom(PIXELS | 0xA000), accept(warnings=1), stored=PIXELS & 4095),
    Pitfall("bits at the high end", lambda: make_dicom(PIXELS << 4, HighBit=15), accept()),
    Pitfall(
        "signed", lambda: make_dicom(PIXELS.astype(np.int16) - 2048), accept(), stored=PIXELS.astype(np.int32) - 2048
    ),
    Pitfall(
        "signed, high bits clear",
        lambda: make_dicom((PIXELS.astype(np.int16) - 2048) & 4095, PixelRepresentation=1),
        accept(),
        stored=PIXELS.astype(np.int32) - 2048,
    ),
    Pitfall(
        "fewer bits in the codestream",
        lambda: make_dicom(PIXELS & 255, syntax=J2K, frame=encode_frame(PIXELS & 255, syntax=J2K, bits=8)),
        stop("decode DepthMismatch"),
    ),
    Pitfall("more bits in the codestream", lambda: make_dicom(PIXELS, syntax=J2K, frame=j2k_frame(16)), accept()),
    Pitfall("no bits stored", tagged(BitsStored=None, HighBit=None), stop("decode DepthMismatch")),
    Pitfall("12 bits allocated", tagged(BitsAllocated=12), stop("decode DepthMismatch")),
    # damage
    Pitfall("nothing", lambda: b"", stop("read EmptyFile")),
    Pitfall("zeros", lambda: b"\0" * 5000, stop("read NotDicom")),
    Pitfall("a web page", lambda: b"<html>404</html>" * 40, stop("read NotDicom")),
    Pitfall(
        "an error of S3",
        lambda: b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>",
        stop("read NotDicom"),
    ),
    Pitfall("no preamble", lambda: make_dicom(PIXELS)[132:], stop("read NotDicom")),
    Pitfall("cut off in its header", lambda: make_dicom(PIXELS)[:459], stop("read HeaderDamaged")),
    Pitfall("cut off before its pixels", without_pixels, stop("filter not_an_image", warnings=1)),
    Pitfall("cut off in its pixels", lambda: make_dicom(PIXELS)[:-100], stop("decode PixelDataCutOff")),
    Pitfall("cut off in its codestream", lambda: make_dicom(PIXELS, syntax=J2K)[:-100], stop("decode PixelDataCutOff")),
    Pitfall(
        "cut off in its lossless JPEG",
        lambda: make_dicom(PIXELS, syntax=JPEG_LOSSLESS)[:-100],
        stop("decode PixelDataCutOff"),
    ),
    Pitfall("a codestream without its end", without_end_marker, stop("decode PixelDataCutOff")),
    Pitfall("more rows than pixels", tagged(Rows=41), stop("decode PixelDataCutOff")),
    Pitfall("fewer rows than pixels", tagged(Rows=39), stop("decode SizeMismatch")),
    Pitfall("other rows than the codestream", tagged(syntax=J2K, Rows=41), stop("decode SizeMismatch")),
    Pitfall("a codestream that claims to be huge", claims_to_be_huge, stop("decode SizeMismatch")),
    Pitfall("a header that claims to be huge", tagged(Rows=60_000, Columns=60_000), stop("decode TooLarge")),
    Pitfall("no rows", tagged(Rows=None), stop("decode NoPixelData")),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name.replace(" ", "-"))
def test_a_pitfall_ends_as_it_should(row: Pitfall) -> None:
    said, stored = outcome(row.make())
    assert {name: said.get(name) for name in row.expected} == row.expected
    if said["verdict"] == "accept":
        np.testing.assert_array_equal(stored, PIXELS if row.stored is None else row.stored)


def test_what_was_filtered_is_accepted_when_it_is_asked_for() -> None:
    wide = IntakeConfig(
        kinds=("ffdm", "film", "synthetic", "for_processing"), views=(), special=("spot", "implant_displaced")
    )
    names = ["a lateral view", "implant displaced", "spot, by its paddle", "digitised film", "synthetic by its series"]
    for row in (row for row in ROWS if row.name in names):
        said, stored = outcome(row.make(), wide)
        assert said["verdict"] == "accept", row.name
        np.testing.assert_array_equal(stored, PIXELS)


def test_every_pitfall_is_a_pitfall_of_its_own() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS) >= 45
    assert pydicom.dcmread(BytesIO(ROWS[0].make())).PatientName == "SECRET^NAME"
