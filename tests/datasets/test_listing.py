"""What lies below a root: which files are listed, what is left out and said, and what cannot be listed."""

import os
from pathlib import Path

import pytest

from tilebank.datasets.listing import list_dicoms
from tilebank.errors import DatasetError
from tilebank.files import list_files


def names_below(root: Path) -> list[str]:
    return [uri.removeprefix(f"{root}/") for uri in list_files(str(root)).uris]


def test_files_are_listed_sorted_and_links_to_files_and_folders_are_followed(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "b").mkdir(parents=True)
    (root / "b" / "2").touch()
    (root / "a").touch()
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside" / "1").touch()
    (root / "c").symlink_to(tmp_path / "beside")
    (root / "d").symlink_to(root / "a")
    assert names_below(root) == ["a", "b/2", "c/1", "d"]
    assert not list_files(str(root)).left_out


def test_a_link_to_a_folder_above_is_not_entered(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "1.dcm").touch()
    (tmp_path / "a" / "b" / "up").symlink_to(tmp_path / "a")
    (tmp_path / "self").symlink_to(tmp_path)
    assert names_below(tmp_path) == ["a/b/1.dcm"]
    assert list_files(str(tmp_path)).left_out == {"links to a folder above": 2}


def test_hidden_entries_and_links_that_lead_nowhere_are_counted(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "x").touch()
    for name in (".hidden", "a"):
        (tmp_path / name).touch()
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    (tmp_path / "itself").symlink_to(tmp_path / "itself")
    assert names_below(tmp_path) == ["a"]
    assert list_files(str(tmp_path)).left_out == {"hidden": 2, "links that lead nowhere": 2}


def test_a_name_that_is_not_utf8_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").touch()
    folder = tmp_path / "sub"
    folder.mkdir()
    Path(os.fsdecode(os.fsencode(folder) + b"/m\xfcller.dcm")).touch()
    with pytest.raises(OSError, match=r"a name in .*/sub is not UTF-8: m\\xfcller.dcm; rename it"):
        list_files(str(tmp_path))
    with pytest.raises(DatasetError, match="cannot list .* rename it") as caught:
        list_dicoms(str(tmp_path))
    str(caught.value).encode()  # it can be printed


def test_files_that_are_not_looked_at_are_counted_by_suffix_in_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a.dcm", "b.DCM", "1.txt", "2.TXT", "labels.csv", "scan.Musterfrau", "noext", ".x"):
        (tmp_path / name).touch()
    assert [uri[-5:] for uri in list_dicoms(str(tmp_path))] == ["a.dcm", "b.DCM"]
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.message.startswith("6 files are not read as images: ")
    assert {"2 .txt", "1 .csv", "2 of another suffix or none", "1 hidden"} == set(
        record.message.partition("images: ")[2].split(", ")
    )


def test_a_folder_of_images_alone_warns_of_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.dcm").touch()
    list_dicoms(str(tmp_path))
    assert not caplog.records
