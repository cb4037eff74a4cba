"""Files that take their names when they are whole: what stands under a name is never half of it."""

import csv
import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from tilebank.flows.reporting.csv_cells import csv_cell

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


def file_name(identity: str) -> str:
    """An id as the name of a file: what is no letter, digit, dot, dash or _ goes, and a hash tells of it."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", identity)
    return plain if plain == identity else f"{plain}-{hashlib.sha256(identity.encode()).hexdigest()[:8]}"
