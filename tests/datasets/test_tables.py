"""Cells as owners' tables hold them: ids kept exact, asked columns alone, and what cannot be read."""

from pathlib import Path

import pytest

from tilebank.datasets.tables import exact_id, read_table
from tilebank.errors import DatasetError


def test_whole_numbers_of_up_to_15_digits_are_mended(tmp_path: Path) -> None:
    assert exact_id("123456789012345.0", column="acc_anon", uri="t") == "123456789012345"
    assert exact_id("9007199254740993", column="acc_anon", uri="t") == "9007199254740993"
    assert exact_id("A-12.0", column="acc_anon", uri="t") == "A-12.0", "what is no number was never a float"


def test_asked_columns_alone_are_read_and_lacking_ones_are_empty(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("\ufeffa,b,c\n1, x ,\n\n2,y,z\n", encoding="utf-8")
    assert read_table(str(path), required=("c",), columns=("b", "d")) == [
        {"c": "", "b": "x", "d": ""},
        {"c": "z", "b": "y", "d": ""},
    ]
    assert read_table(str(path), required=("a",))[1] == {"a": "2", "b": "y", "c": "z"}
    path.write_text("a,b\n1,2,3\n", encoding="utf-8")
    with pytest.raises(DatasetError, match="line 2 has a different number of cells"):
        read_table(str(path), required=("a",), columns=())
    path.write_bytes("a,b\n1,\xe9\n".encode("latin-1"))
    with pytest.raises(DatasetError, match="cannot read the table"):
        read_table(str(path), required=("a",))
