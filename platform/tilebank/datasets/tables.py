"""CSV tables as text: every cell a string, so that no identifier is ever read through a float."""

import csv
import io
from collections.abc import Sequence

from tilebank.errors import DatasetError
from tilebank.files import read_bytes


def read_table(uri: str, *, required: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a CSV with a header line. Raises DatasetError when it is missing or lacks a required column."""
    try:
        text = read_bytes(uri).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"cannot read the table {uri}: {error}") from error
    reader = csv.DictReader(io.StringIO(text, newline=""))
    columns = reader.fieldnames or []
    if len(columns) == 1 and ";" in columns[0]:
        raise DatasetError(f"{uri} is separated by semicolons; save it with commas")
    missing = [name for name in required if name not in columns]
    if missing:
        raise DatasetError(f"{uri} has no column {', '.join(missing)}; it has {', '.join(columns) or 'none at all'}")
    rows = []
    for number, row in enumerate(reader, start=2):
        if None in row or None in row.values():
            raise DatasetError(f"{uri} line {number} has another number of cells than the header; repair the line")
        rows.append({name: cell.strip() for name, cell in row.items()})
    return rows
