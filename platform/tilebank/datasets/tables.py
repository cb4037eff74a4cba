"""Read CSV tables as text: every cell stays a string, so that no identifier passes through a float."""

import csv
import io
import re
from collections.abc import Iterator, Sequence

from tilebank.errors import DatasetError
from tilebank.files import open_file
from tilebank.storage_errors import storage_reason

NULLS = frozenset(
    {"", "nan", "none", "null", "nat", "<na>"}
)  # how an empty cell is written, the libraries' ways included
NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")


def read_table(uri: str, *, required: Sequence[str], columns: Sequence[str] | None = None) -> list[dict[str, str]]:
    """The rows of a CSV with a header line: all columns, or only those of `required` and `columns`.

    A column of `columns` that the table lacks is empty text. Raises DatasetError when the table is missing, is not a
    table, or lacks a required column.
    """
    return list(read_rows(uri, required=required, columns=columns))


def read_rows(uri: str, *, required: Sequence[str], columns: Sequence[str] | None = None) -> Iterator[dict[str, str]]:
    """The rows of `read_table` one by one, for tables too large for memory; errors are raised during reading."""
    try:
        with open_file(uri) as stream:
            reader = csv.reader(io.TextIOWrapper(stream, encoding="utf-8-sig", newline=""))
            yield from _rows(reader, uri=uri, required=required, columns=columns)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"cannot read the table {uri}: {storage_reason(error, uri)}") from error


def null_to_empty(text: str) -> str:
    """`text`, or the empty text where it is one of the ways to write an empty cell (`NaN`, `None`, ...)."""
    return "" if text.casefold() in NULLS else text


def exact_id(text: str, *, column: str, uri: str) -> str:
    """An identifier as the owner wrote it; `123.0`, to which a float turns 123, becomes 123 again.

    Raises DatasetError for ids that lost digits as floats, or may have: scientific notation, fractions, and
    more than 15 digits with a decimal point (a float holds 15 decimal digits for certain).
    """
    if text.isdecimal() or not NUMBER.fullmatch(text):
        return text
    repaired = text.removesuffix(".0")
    if repaired.isdecimal() and len(repaired) <= 15:
        return repaired
    raise DatasetError(
        f"{uri}: {column} {text!r} was written from a floating-point number and may have lost digits; take the owner's"
        " own table, or write it again with all columns read as text"
    )


def _rows(
    reader: Iterator[list[str]], *, uri: str, required: Sequence[str], columns: Sequence[str] | None
) -> Iterator[dict[str, str]]:
    header = next(reader, [])
    if len(header) == 1 and ";" in header[0]:
        raise DatasetError(f"{uri} is separated by semicolons; save it with commas")
    missing = [name for name in required if name not in header]
    if missing:
        some = ", ".join(header[:30]) + (f" and {len(header) - 30} more" if len(header) > 30 else "")
        raise DatasetError(f"{uri} has no column {', '.join(missing)}; it has {some or 'none at all'}")
    kept = list(dict.fromkeys(header if columns is None else (*required, *columns)))
    absent = {name: "" for name in kept if name not in header}
    places = [(name, header.index(name)) for name in kept if name in header]
    for number, cells in enumerate(reader, start=2):
        if len(cells) == len(header):
            yield {name: cells[place].strip() for name, place in places} | absent
        elif cells:  # a blank line is none
            raise DatasetError(f"{uri} line {number} has a different number of cells than the header; repair the line")
