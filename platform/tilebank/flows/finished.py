"""Files that take their names when they are whole: what stands under a name is never half of it."""

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from tilebank.flows.cells import csv_cell

UNFINISHED = ".part"


@contextmanager
def finished(path: Path) -> Iterator[TextIO]:
    """A text file that takes its name when the block ends, and leaves nothing where it never does."""
    part = path.with_name(path.name + UNFINISHED)
    try:
        with part.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream:
            yield stream
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_row(stream: TextIO, cells: Sequence[object]) -> None:
    """One line of a CSV."""
    csv.writer(stream).writerow([csv_cell(cell) for cell in cells])
