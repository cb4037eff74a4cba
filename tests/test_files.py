"""Bytes behind a URI: what a reader may find while a writer is at work or was killed."""

from pathlib import Path

import pytest

from tilebank.files import list_files, read_bytes, write_bytes


def test_a_write_that_stops_halfway_leaves_what_stood_before(tmp_path: Path) -> None:
    uri = str(tmp_path / "folder" / "kept.json")
    write_bytes(uri, b"first")
    with pytest.raises(TypeError):
        write_bytes(uri, 5)
    assert read_bytes(uri) == b"first"
    write_bytes(uri, b"second")
    assert read_bytes(uri) == b"second"
    assert list_files(str(tmp_path)).uris == (uri,), "what was begun is hidden"
