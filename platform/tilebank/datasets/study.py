"""What a dataset is: a configuration, a manifest, and the truth about its breasts. Knows no owner's files."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from tilebank.terms import FailureRow, Laterality, ManifestRow


@dataclass(frozen=True)
class DatasetConfig:
    """Where a dataset lies and how it is read.

    root: folder or bucket prefix; labels: CSV of breast truths (adapter `folder`), empty for none; exam_key: which tag
    names the exam, `accession_number` or `study_uid`; licence: its name; redistributable: whether vectors and heads
    made from it may be shared: tables and heads inherit both.
    """

    name: str
    adapter: str
    root: str
    licence: str
    redistributable: bool
    labels: str = ""
    exam_key: str = "accession_number"


@dataclass(frozen=True)
class ScannedImage:
    """What the header of one file says: handed in by whoever can read DICOM."""

    uri: str
    image_id: str
    patient_id: str
    study_uid: str
    accession_number: str
    laterality: Laterality
    view: str
    manufacturer: str


@dataclass(frozen=True)
class Manifest:
    """The images that a run should hold, and the files that cannot be placed."""

    images: tuple[ManifestRow, ...]
    failures: tuple[FailureRow, ...]


@dataclass(frozen=True)
class Breast:
    """One breast that has vectors: the bag that a label is asked for."""

    patient_id: str
    exam_id: str
    breast_id: str
    laterality: Laterality


Scan = Callable[[Sequence[str]], Iterable[ScannedImage | FailureRow]]
"""Reads the headers behind many URIs, in any order."""

Truth = Mapping[str, Mapping[str, str]]
"""breast_id -> column -> text, as the owner wrote it; an empty text is a missing fact."""


class Dataset(Protocol):
    """One adapter. Both calls read metadata only."""

    def read_manifest(self, scan: Scan) -> Manifest:
        """Every image of the dataset. Raises DatasetError when there is none."""
        ...

    def read_truth(self, breasts: Sequence[Breast]) -> Truth:
        """What the owner's tables say about these breasts. Raises DatasetError when there are no tables."""
        ...
