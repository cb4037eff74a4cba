"""Write suggested boxes as a DICOM presentation state, which a viewer lays over the original image.

A Grayscale Softcopy Presentation State (PS3.3 A.33): viewers offer it with the image that it names, and the image
stays as it is.

THE OBJECT CARRIES THE PATIENT: by the standard it repeats the patient's and the study's attributes of its image, name
and birth date included, or no archive could file it. This is the only way in which patient text leaves a file here, and
only into another DICOM file: store it where the image may be stored. None of it is logged or quoted in an error.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
import pydicom
from pydicom.multival import MultiValue
from pydicom.uid import generate_uid

from tilebank.errors import ImageError
from tilebank.imaging.dicom.header import Tags, intensity_rules
from tilebank.imaging.dicom.reader import DAMAGE, quietly, read_header
from tilebank.imaging.presentation import why_unusable
from tilebank.terms import ImageHeader, ScoredBox

if TYPE_CHECKING:
    from highdicom import PresentationLUTTransformation
    from highdicom.pr import GraphicAnnotation, GraphicLayer

LABEL, LAYER = "TILEBANK", "SUGGESTED"  # code strings: capitals
DESCRIPTION = "Boxes suggested by a map; research software, no diagnosis"
COLOUR = (80.0, -20.0, -33.0)  # CIELab of a light blue, where a viewer heeds it
SERIES_NUMBER = 9000  # beyond those of a study's images
LONGEST = 64  # of a Long String (PS3.5 6.2)
NEEDED = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
# What an archive files an object by: there by the standard, though it may be empty (type 2).
FILED_BY = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    *("AccessionNumber", "StudyID", "StudyDate", "StudyTime", "ReferringPhysicianName"),
)
WITH_IT = ("SpecificCharacterSet", "IssuerOfPatientID")  # where the image has them
RESCALING = ("RescaleSlope", "RescaleIntercept", "RescaleType", "ModalityLUTSequence")
WINDOWING = ("WindowCenter", "WindowWidth", "VOILUTFunction")

logging.getLogger("highdicom").setLevel(logging.CRITICAL)


@dataclass(frozen=True)
class MarkAuthor:
    """What made the boxes, and when: the software's name and version, at most 64 characters each."""

    algorithm: str
    version: str
    made_at: datetime

    def __post_init__(self) -> None:
        for name, text in (("algorithm", self.algorithm), ("version", self.version)):
            if not 0 < len(text) <= LONGEST or "\\" in text or not (text.isascii() and text.isprintable()):
                raise ValueError(f"{name} {text!r}: DICOM takes 1 to {LONGEST} characters of ASCII, no backslash")


def mark_image(content: bytes, boxes: Sequence[ScoredBox], *, author: MarkAuthor, number: int = 1) -> bytes:
    """A presentation state with `boxes` over the image whose DICOM file is `content`; its bytes follow from the inputs.

    Marks of one author on one study share a series; `number` is that of the instance in it. Boxes are cut at the
    image's edges, in the pixels as stored, whatever its polarity and its side. Raises ImageError (`read`) where the
    file is no single gray image or lacks the ids by which it could be named, ValueError where no box lies in the image.
    """
    from highdicom import UID
    from highdicom.pr import GrayscaleSoftcopyPresentationState

    header = read_header(BytesIO(content))
    with quietly():
        source = _read_source(content, header)
        image = _image_of(source, header)
        annotation, layer = _annotate(image, boxes)
        run = ("marks", author.algorithm, author.version, author.made_at.isoformat(), image.StudyInstanceUID)
        marks = GrayscaleSoftcopyPresentationState(
            referenced_images=[image],
            series_instance_uid=UID(generate_uid(entropy_srcs=[*run])),
            series_number=SERIES_NUMBER,
            sop_instance_uid=UID(generate_uid(entropy_srcs=[*run, image.SOPInstanceUID, str(number), repr([*boxes])])),
            instance_number=number,
            manufacturer="Tilebank",
            manufacturer_model_name=author.algorithm,
            software_versions=author.version,
            device_serial_number="0",
            content_label=LABEL,
            content_description=DESCRIPTION,
            graphic_annotations=[annotation],
            graphic_layers=[layer],
            presentation_lut_transformation=_polarity(header),
        )
        _date(marks, author.made_at)
        _carry_patient(marks, source)
        buffer = BytesIO()
        marks.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _read_source(content: bytes, header: ImageHeader) -> pydicom.Dataset:
    """The whole header, patient included. Raises ImageError where no presentation state can name the image."""
    if (header.frames, header.samples) != (1, 1) or header.photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise ImageError(
            "read",
            "boxes can be laid only over a single gray frame, and this file holds another image",
            "NotOneGrayFrame",
        )
    try:
        source = pydicom.dcmread(BytesIO(content), stop_before_pixels=True)
        missing = [name for name in NEEDED if not source.get(name)]
    except DAMAGE as error:
        raise ImageError("read", f"the DICOM header is damaged ({type(error).__name__})", "HeaderDamaged") from error
    if missing or not (header.rows and header.columns):
        what = ", ".join(missing) or "Rows and Columns"
        raise ImageError("read", f"the file has no {what}: no object can refer to the image", "IdMissing")
    return source


def _image_of(source: pydicom.Dataset, header: ImageHeader) -> pydicom.Dataset:
    """What the state needs of the image: ids, size, and the intensity rules where they can be followed; no patient.

    A state is one way to show it: of several tables or windows the first stands, as with `intensity`.
    """
    image = pydicom.Dataset()
    rules, _ = intensity_rules(Tags(source, damage=DAMAGE), header)
    followed = (
        () if why_unusable(rules) else (*RESCALING, *(WINDOWING if rules.voi_lut is None else ("VOILUTSequence",)))
    )
    for name in (*NEEDED, "Rows", "Columns", "SamplesPerPixel", "PixelRepresentation", *followed):
        value = source.get(name)
        if isinstance(value, MultiValue | pydicom.Sequence):
            setattr(image, name, [value[0]] if isinstance(value, pydicom.Sequence) else value[0])
        elif value is not None:
            image[name] = source[name]
    for name in FILED_BY:  # filled in last, by `_carry_patient`, so that no library checks or quotes them
        setattr(image, name, "")
    return image


def _annotate(image: pydicom.Dataset, boxes: Sequence[ScoredBox]) -> "tuple[GraphicAnnotation, GraphicLayer]":
    """Closed lines along the boxes and their scores, in one layer.

    PIXEL units: 0\\0 is the upper left corner of the upper left pixel, Columns\\Rows the lower right one of the last
    (PS3.3 C.10.5.1.2), so that a box of ours, half open, is its own coordinates.
    """
    from highdicom.color import CIELabColor
    from highdicom.pr import GraphicAnnotation, GraphicLayer, GraphicObject, TextObject

    shapes, words = [], []
    for found in boxes:
        left, top = max(0, found.box.x), max(0, found.box.y)
        right = min(int(image.Columns), found.box.x + found.box.width)
        bottom = min(int(image.Rows), found.box.y + found.box.height)
        if left < right and top < bottom:
            corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom], [left, top]], dtype=float)
            shapes.append(GraphicObject("POLYLINE", corners, "PIXEL"))
            words.append(
                TextObject(f"{found.score:.3g}", "PIXEL", anchor_point=(left, top), anchor_point_visible=False)
            )
    if not shapes:
        raise ValueError(f"none of {len(boxes)} boxes lies in the image: there is nothing to mark")
    layer = GraphicLayer(LAYER, order=1, description=DESCRIPTION, display_color=CIELabColor(*COLOUR))
    annotation = GraphicAnnotation([image], graphic_layer=layer, graphic_objects=shapes, text_objects=words)
    return annotation, layer


def _polarity(header: ImageHeader) -> "PresentationLUTTransformation":
    """A state overrides the image's Photometric Interpretation (PS3.4 N.2.1.4), so it must say the same."""
    from highdicom import PresentationLUTTransformation

    shape = "INVERSE" if header.photometric == "MONOCHROME1" else "IDENTITY"
    return PresentationLUTTransformation(presentation_lut_shape=shape)


def _date(marks: pydicom.Dataset, made_at: datetime) -> None:
    """Replace the clock's time, which would give every run another object under the same id."""
    for name in ("InstanceCreation", "PresentationCreation"):
        setattr(marks, f"{name}Date", made_at.strftime("%Y%m%d"))
        setattr(marks, f"{name}Time", made_at.strftime("%H%M%S"))
    for library in marks.ContributingEquipmentSequence:
        library.ContributionDateTime = made_at.strftime("%Y%m%d%H%M%S")


def _carry_patient(marks: pydicom.Dataset, source: pydicom.Dataset) -> None:
    """Copy the patient's and the study's attributes of FILED_BY and WITH_IT unchanged from the image."""
    try:
        for name in (*FILED_BY, *WITH_IT):
            if name in source:
                marks[name] = source[name]
    except DAMAGE as error:
        raise ImageError("read", f"the DICOM header is damaged ({type(error).__name__})", "HeaderDamaged") from error
