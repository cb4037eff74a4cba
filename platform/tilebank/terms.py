"""Define the field's terms as records: side, view, split, image header, finding, label."""

from dataclasses import dataclass
from enum import StrEnum


class Laterality(StrEnum):
    """Side of the body: DICOM (0020,0062) Image Laterality."""

    L = "L"
    R = "R"


class Split(StrEnum):
    """Role of a patient in a search."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"


class InstanceKind(StrEnum):
    """What was encoded: a whole view or a tile of it."""

    VIEW = "view"
    TILE = "tile"


@dataclass(frozen=True)
class TileBox:
    """A rectangle in source pixels: `x` runs right, `y` down. Any part outside the image is background."""

    x: int
    y: int
    width: int
    height: int


class ImageKind(StrEnum):
    """What a DICOM object is; a standard full-field digital mammogram is `ffdm`."""

    FFDM = "ffdm"
    FOR_PROCESSING = "for_processing"  # raw detector values, not meant for reading
    SYNTHETIC = "synthetic"  # 2D computed from tomosynthesis (C-View, S-View, ...)
    TOMOSYNTHESIS = "tomosynthesis"
    FILM = "film"  # digitised film
    SECONDARY_CAPTURE = "secondary_capture"
    SCREENSAVE = "screensave"  # colour, or with burned-in annotation
    TEXT_PAGE = "text_page"  # text in a valid mammography object; only the pixels show it
    CONSTANT = "constant"  # one value everywhere; only the pixels show it
    OTHER = "other"  # an image, but no mammogram: ultrasound, MR, a radiograph of something else
    NOT_AN_IMAGE = "not_an_image"  # dose reports, presentation states, objects without pixels


@dataclass(frozen=True)
class ImageHeader:
    """The header of one image: ids and technical tags. No other text of a file leaves the reader.

    laterality: `L`, `R`, or empty where the header does not say; view: DICOM's View Position (`CC`, `MLO`, `ML`, ...),
    or empty; `..._from`: the tag that said so; conflict: a sentence where the header contradicts itself on one of them.
    special: what makes the view a special one (`spot`, `magnification`, `implant_displaced`, ...), sorted.
    intensity: what the header offers, `lut`, `linear`, `linear_exact`, `sigmoid` or `none`; windows: how many.
    spacing_mm: (row, column) at the detector, None where not given. warnings: what is odd but usable.
    """

    sop_instance_uid: str
    patient_id: str
    study_uid: str
    accession_number: str
    laterality: str
    laterality_from: str
    view: str
    view_from: str
    conflict: str
    kind: ImageKind
    special: tuple[str, ...]
    sop_class: str
    transfer_syntax: str
    modality: str
    manufacturer: str
    photometric: str
    rows: int
    columns: int
    frames: int
    samples: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    intensity: str
    windows: int
    spacing_mm: tuple[float, float] | None
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class ManifestRow:
    """One image of a dataset. All ids are strings: some owners' numbers exceed a float's precision.

    `breast_id` is `exam_id` + `_` + laterality. `view` is DICOM's View Position (`CC`, `MLO`, ...). `..._from` says
    where side and view were taken from: a DICOM tag or a table. `sop_instance_uid` is the DICOM's own id where the
    manifest gives it: the file must then have that id.
    """

    dataset: str
    patient_id: str
    exam_id: str
    breast_id: str
    image_id: str
    laterality: Laterality
    view: str
    uri: str
    image_kind: ImageKind = ImageKind.FFDM
    special: tuple[str, ...] = ()
    laterality_from: str = "table"
    view_from: str = "table"
    manufacturer: str = ""
    sop_instance_uid: str = ""


@dataclass(frozen=True)
class Finding:
    """One annotated lesion: which image, what it is, where (source pixels), and how sure the annotation is.

    categories: the owner's words, normalised to `mass`, `calcification`, `asymmetry`, `distortion`, or kept as they
    are; birads: the finding's own, empty where not given; note: what was changed on reading (`clipped`), or where the
    box comes from (`transferred`), else empty.
    """

    image_id: str
    categories: tuple[str, ...]
    box: TileBox
    birads: str = ""
    note: str = ""


@dataclass(frozen=True)
class ScoredBox:
    """A detected box in source pixels and its score; compare scores only between boxes made by the same method."""

    box: TileBox
    score: float


@dataclass(frozen=True)
class FailureRow:
    """One image that cannot be used: where it stopped, the error's class, and a reason that a person understands."""

    image_id: str
    uri: str
    stage: str
    error_class: str
    reason: str


@dataclass(frozen=True)
class LabelRow:
    """The truth about one breast for one task: a class number, the rule that made it, the stratum used for splitting.

    Yes-no tasks have the classes 0 and 1; `density` has 0 to 3 for A to D; of several labels at once, label p is bit p.
    """

    dataset: str
    task: str
    patient_id: str
    exam_id: str
    breast_id: str
    label: int
    stratum: str
    rule: str


@dataclass(frozen=True)
class SlideOwner:
    """The patient, exam and bag of a slide of imported features; `breast_id` is its bag: the slide, or its patient."""

    patient_id: str
    exam_id: str
    breast_id: str


def breast_id_of(exam_id: str, laterality: Laterality) -> str:
    """The bag's id: one side in one exam."""
    return f"{exam_id}_{laterality.value}"
