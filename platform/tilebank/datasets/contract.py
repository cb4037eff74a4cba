"""Define what a dataset adapter reads and returns: its configuration, the manifest, and the facts about breasts."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from tilebank.datasets.intake import IntakeConfig
from tilebank.terms import FailureRow, Finding, ImageHeader, ManifestRow

MADE_ELSEWHERE = "features"  # the adapter of datasets that hold only vectors


@dataclass(frozen=True)
class DatasetConfig:
    """Where a dataset is and how it is read.

    root: folder or bucket prefix; labels: CSV of breast truths (adapter `folder`), empty for none; exam_key: which tag
    names the exam, `accession_number` or `study_uid` (adapter `folder`); licence: its name; redistributable: whether
    vectors and heads made from it may be shared: tables and heads inherit both. ids: `plain`, or `keyed-hash` to
    replace patient and exam ids by a hash under the key in TILEBANK_ID_KEY. intake: which images are included.
    bag: what a bag is, a `slide` or a `patient`; fingerprint: which of several imports is read, empty where there is
    one (adapter `features`).
    """

    name: str
    adapter: str
    root: str
    licence: str
    redistributable: bool
    labels: str = ""
    exam_key: Literal["accession_number", "study_uid"] = "accession_number"
    ids: Literal["plain", "keyed-hash"] = "plain"
    intake: IntakeConfig = field(default_factory=IntakeConfig)
    bag: Literal["slide", "patient"] = "slide"
    fingerprint: str = ""

    def __post_init__(self) -> None:
        if self.made_elsewhere and self.ids != "plain":
            raise ValueError("adapter features takes ids: plain; slides are known by the names of their files")

    @property
    def made_elsewhere(self) -> bool:
        """Whether the dataset holds only vectors, encoded by another tool."""
        return self.adapter == MADE_ELSEWHERE


@dataclass(frozen=True)
class ScannedImage:
    """One file and its header, as the scan returns it."""

    uri: str
    header: ImageHeader


@dataclass(frozen=True)
class Manifest:
    """The images of a dataset, and the files that are refused or (stage `filter`) not included."""

    images: tuple[ManifestRow, ...]
    failures: tuple[FailureRow, ...]


Scan = Callable[[Sequence[str]], Iterable[ScannedImage | FailureRow]]
"""Reads the headers behind many URIs, in any order."""

Truth = Mapping[str, Mapping[str, str]]
"""breast_id -> fact -> text, as the owner wrote it; an empty text or no key is a missing fact.

Facts that several datasets share: `birads`, `density`, `masses` and `calcifications` (counts), `cancer` (0 or 1),
`split` (the owner's `train` or `test`), `years_to_cancer` and `years_to_last_followup`, `age`.
"""


class Dataset(Protocol):
    """One adapter. All methods read metadata only; a table that is missing or lacks a column raises DatasetError."""

    def read_manifest(self, scan: Scan) -> Manifest:
        """Every image of the dataset. Raises DatasetError when there is none."""
        ...

    def read_truth(self) -> Truth:
        """The facts of the owner's tables about breasts, whether they have images or not."""
        ...

    def read_findings(self) -> Sequence[Finding]:
        """Annotated lesions, in any order; none where the dataset has no boxes."""
        ...
