"""One row for each file of a dataset: its outcome, why, and what its header says about the technique.

Rows are small and hold no patient, exam or image id.
"""

import csv
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TextIO

from tilebank.datasets.intake import Placement
from tilebank.flows.reporting.csv_cells import csv_cell
from tilebank.flows.validate.uid_names import object_class_name, transfer_syntax_name
from tilebank.terms import FailureRow, ImageHeader


class Outcome(StrEnum):
    """What an extraction would do with a file: take it, leave it because it was not asked for, or fail on it."""

    ACCEPT = "accept"
    FILTER = "filter"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class FileRow:
    """One file. `uri` is relative to the dataset's root; what is not known is empty or 0.

    intensity: what the header offers, or, where the pixels were looked at, what was used. sop_class and
    transfer_syntax are words, not UIDs.
    """

    uri: str
    outcome: Outcome
    stage: str = ""
    error_class: str = ""
    reason: str = ""
    warnings: tuple[str, ...] = ()
    laterality: str = ""
    laterality_from: str = ""
    view: str = ""
    view_from: str = ""
    image_kind: str = ""
    special: tuple[str, ...] = ()
    intensity: str = ""
    transfer_syntax: str = ""
    manufacturer: str = ""
    rows: int = 0
    columns: int = 0
    bits_stored: int = 0
    sop_class: str = ""


COLUMNS = tuple(FileRow.__dataclass_fields__)


def row_of_header(header: ImageHeader, uri: str) -> FileRow:
    """A file whose header was read, accepted for as long as nothing speaks against it."""
    shared = sys.intern  # the same few words in a million rows
    return FileRow(
        uri=uri,
        outcome=Outcome.ACCEPT,
        warnings=tuple(shared(text) for text in header.warnings),
        laterality=shared(header.laterality),
        laterality_from=shared(header.laterality_from),
        view=shared(header.view),
        view_from=shared(header.view_from),
        image_kind=header.kind.value,
        special=tuple(shared(name) for name in header.special),
        intensity=shared(header.intensity),
        transfer_syntax=shared(transfer_syntax_name(header.transfer_syntax)),
        manufacturer=shared(header.manufacturer),
        rows=header.rows,
        columns=header.columns,
        bits_stored=header.bits_stored,
        sop_class=shared(object_class_name(header.sop_class)),
    )


def placed(row: FileRow, placement: Placement) -> FileRow:
    """The row with its side and view as they were decided."""
    return replace(
        row,
        laterality=placement.laterality.value,
        laterality_from=placement.laterality_from,
        view=placement.view,
        view_from=placement.view_from,
    )


def stopped(row: FileRow, failure: FailureRow, *, root: str) -> FileRow:
    """The row of a file that is filtered (stage `filter`) or refused (any other)."""
    return replace(
        row,
        outcome=Outcome.FILTER if failure.stage == "filter" else Outcome.REFUSE,
        stage=failure.stage,
        error_class=failure.error_class,
        reason=failure.reason.replace(f"{root.rstrip('/')}/", ""),
    )


def relative_uri(uri: str, *, root: str) -> str:
    """`uri` as seen from `root`; one that lies elsewhere stays as it is."""
    return uri.removeprefix(f"{root.rstrip('/')}/")


def write_csv(rows: Iterable[FileRow], stream: TextIO) -> None:
    """The rows as CSV with a header line."""
    writer = csv.writer(stream)
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([csv_cell(getattr(row, name)) for name in COLUMNS])
