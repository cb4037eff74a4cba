"""From files to maps as a user does it: one command, pictures and tables, nothing else left, nobody named."""

from pathlib import Path

import pytest
from tests.conftest import half_disc, make_dicom, read_csv
from tests.jobs.conftest import RunHere

from tilebank.flows.champion.card import HeadCard
from tilebank.flows.settings.choices import Choices
from tilebank.flows.settings.settings import load_settings
from tilebank.mil.heads.dual_stream import DualStreamConfig
from tilebank.mil.heads.registry import build_head, save_head

pytestmark = pytest.mark.slow

WINDOW = {"WindowCenter": "2048", "WindowWidth": "4096", "PatientName": "Zebedee^Jane", "PatientID": "P7"}


@pytest.fixture
def exam(tmp_path: Path) -> Path:
    """A left breast with both views, a right one with CC alone, and a letter."""
    folder = tmp_path / "dicoms"
    folder.mkdir()
    for side, view, value in (("L", "CC", 2000), ("L", "MLO", 1800), ("R", "CC", 1200)):
        tags = {"ImageLaterality": side, "ViewPosition": view, "SOPInstanceUID": f"2.25.{ord(side)}{len(view)}"}
        disc = half_disc(700, 500, value=value, right=side == "R")
        (folder / f"{side}{view}.dcm").write_bytes(make_dicom(disc, AccessionNumber="E7", **tags, **WINDOW))
    (folder / "letter.dcm").write_text("this is no image\n" * 50)
    return folder


@pytest.fixture
def head(tmp_path: Path) -> Path:
    settings = load_settings(Choices())
    found = {"threshold": "0.5", "threshold_rule": "a test's"}
    card = HeadCard.of_settings(settings, task="mass", fingerprint=settings.fingerprint, found=found)
    head = build_head(DualStreamConfig(), dim=settings.encoder.dim, seeds=[0])
    save_head(head, tmp_path / "head", metadata=card.as_metadata())
    return tmp_path / "head"


def test_a_folder_becomes_maps_boxes_and_pictures_in_one_command(
    run_here: RunHere, exam: Path, head: Path, tmp_path: Path, empty_tmp: Path
) -> None:
    out, home = tmp_path / "explained", tmp_path / "home"
    finished = run_here(home, "explain", "--head", head, "--folder", exam, "--out", out)
    assert finished.status == 0, finished.err

    breasts = {row["breast_id"]: row for row in read_csv(out / "breasts.csv")}
    assert {name: (row["views"], row["flag"]) for name, row in breasts.items()} == {
        "E7_L": ("CC MLO", ""),
        "E7_R": ("CC", "misses MLO"),
    }
    assert [row["file"] for row in read_csv(out / "not_mapped.csv")] == ["letter.dcm"]
    assert {path.name for path in (out / "figures").iterdir()} == {"E7_L.png", "E7_R.png"}
    report = (out / "explain.html").read_text()
    assert "Research software, not a medical device." in report
    assert "figures/E7_L.png" in report
    written = "".join(path.read_text(errors="replace") for path in out.rglob("*") if path.suffix in (".csv", ".html"))
    assert "Zebedee" not in written + finished.out + finished.err
    assert not (home / "store").exists(), "a folder is explained without a store"
    assert not list(empty_tmp.glob("tilebank-*")), "and leaves no vectors behind"
