"""The report on a folder of files as a user asks for it: by its root alone, and written where the user stands."""

from pathlib import Path

import pytest
from tests.conftest import half_disc, make_dicom
from tests.jobs.conftest import RunHere

pytestmark = pytest.mark.slow


def test_the_job_takes_a_root_alone_for_a_folder(run_here: RunHere, tmp_path: Path) -> None:
    folder = tmp_path / "Ordner ä"
    folder.mkdir()
    (folder / "left.dcm").write_bytes(make_dicom(half_disc(700, 500), SOPInstanceUID="2.25.10"))
    (folder / "letter.dcm").write_text("this is a letter, not an image\n" * 20)
    ended = run_here(tmp_path / "home", "validate", "--root", folder, "--sample", "0", cwd=tmp_path)
    assert ended.status == 0, ended.err
    assert "accept" in ended.out
    assert "validation.html" in ended.out
    assert (tmp_path / "validation.html").read_text(encoding="utf-8").startswith("<!doctype html>")
