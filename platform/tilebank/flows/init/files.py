"""A look at a dataset's files: how many there are, and what the headers of a few of them say."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tilebank.datasets.intake import IntakeConfig, assert_included, place_image
from tilebank.datasets.listing import NOT_IMAGES
from tilebank.errors import DatasetError, ImageError
from tilebank.files import is_local, list_files
from tilebank.flows.engine.image_task import header_of
from tilebank.terms import ImageHeader

ExamKey = Literal["accession_number", "study_uid"]
EXAM_KEYS: tuple[ExamKey, ...] = ("accession_number", "study_uid")
LOOKED_AT = 20


@dataclass(frozen=True)
class SampledFiles:
    """Files below a root. listed: whether they were counted; headers: of those that were looked at and read;
    refusals: why others would not be used, with counts."""

    listed: bool
    count: int
    looked_at: int
    headers: tuple[ImageHeader, ...]
    refusals: tuple[tuple[str, int], ...]

    def as_text(self) -> str:
        """One line for people."""
        if not self.listed:
            return "object storage, not listed"
        files = "1 file" if self.count == 1 else f"{self.count} files"
        if not self.looked_at:
            return files
        good = self.looked_at - sum(count for _, count in self.refusals)
        may_be = "that may be an image" if self.count == 1 else "that may be images"
        return f"{files} {may_be}; of {self.looked_at} looked at, {good} would be used"

    def matching(self, exam_ids: frozenset[str], key: ExamKey) -> int:
        """How many of the files looked at belong to one of `exam_ids` by the tag `key`."""
        return sum(getattr(header, key) in exam_ids for header in self.headers)


def look_at_files(root: str, *, dicoms: bool, intake: IntakeConfig) -> SampledFiles:
    """Count the files below a local `root` and, where they are DICOMs placed by their headers, read some headers.

    A bucket is not listed: a large one takes minutes. Raises DatasetError for a folder without a file, or that cannot
    be listed.
    """
    if not is_local(root):
        return SampledFiles(listed=False, count=0, looked_at=0, headers=(), refusals=())
    try:
        uris = [uri for uri in list_files(root).uris if not uri.lower().endswith(NOT_IMAGES)]
    except OSError as error:
        raise DatasetError(f"cannot list {root}: {error}; check --root") from error
    if not uris:
        raise DatasetError(f"no file below {root} that may be an image; check --root")
    chosen = _spread(uris) if dicoms else []
    headers, refusals = [], Counter[str]()
    for uri in chosen:
        try:
            header = header_of(uri)
            headers.append(header)
            assert_included(header.kind, view=header.view, special=header.special, intake=intake)
            place_image(header)
        except ImageError as error:
            refusals[str(error)] += 1
    return SampledFiles(
        listed=True,
        count=len(uris),
        looked_at=len(chosen),
        headers=tuple(headers),
        refusals=tuple(refusals.most_common()),
    )


def _spread(uris: Sequence[str]) -> list[str]:
    """Up to LOOKED_AT of them, evenly over the list: neighbours are often of one exam."""
    count = min(LOOKED_AT, len(uris))
    return [uris[place * len(uris) // count] for place in range(count)]
