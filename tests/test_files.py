"""Bytes behind a URI: what a reader may find while a writer is at work or was killed."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tilebank.files import last_written, list_files, read_bytes, write_bytes


def test_a_write_that_stops_halfway_leaves_what_stood_before(tmp_path: Path) -> None:
    uri = str(tmp_path / "folder" / "kept.json")
    write_bytes(uri, b"first")
    with pytest.raises(TypeError):
        write_bytes(uri, 5)
    assert read_bytes(uri) == b"first"
    write_bytes(uri, b"second")
    assert read_bytes(uri) == b"second"
    assert list_files(str(tmp_path)).uris == (uri,), "what was begun is hidden"


def test_the_youngest_file_below_a_folder_tells_when_it_was_last_written(tmp_path: Path) -> None:
    for name, seconds in (("a/old", 1_000), ("a/b/young", 5_000), ("middle", 3_000)):
        write_bytes(str(tmp_path / name), b"")
        os.utime(tmp_path / name, (seconds, seconds))
    assert last_written(str(tmp_path)) == datetime.fromtimestamp(5_000, tz=UTC)
    assert last_written(str(tmp_path / "nowhere")) is None
