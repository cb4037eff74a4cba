"""The field's words as types: who, which side, which view, which rectangle. Records only; no libraries."""

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
    """A rectangle in source pixels: `x` runs right, `y` down. What reaches past the image is background."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class ManifestRow:
    """One image that a run should hold. All ids are strings: some owners' numbers exceed a float's precision.

    `breast_id` is `exam_id` + `_` + laterality. `view` is DICOM's View Position (`CC`, `MLO`, ...); `image_kind` is
    `ffdm` for a standard full-field digital mammogram.
    """

    dataset: str
    patient_id: str
    exam_id: str
    breast_id: str
    image_id: str
    laterality: Laterality
    view: str
    uri: str
    image_kind: str = "ffdm"
    manufacturer: str = ""


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
    """The truth about one breast for one task: 0 or 1, the rule that made it, and the stratum used for splitting."""

    dataset: str
    task: str
    patient_id: str
    exam_id: str
    breast_id: str
    label: int
    stratum: str
    rule: str


def breast_id_of(exam_id: str, laterality: Laterality) -> str:
    """The bag's id: one side in one exam."""
    return f"{exam_id}_{laterality.value}"
