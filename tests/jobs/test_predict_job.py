"""From files to scores as a user does it: a head is imported, a folder of DICOMs scored, nothing else left."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tests.conftest import half_disc, make_dicom, read_csv
from tests.jobs.conftest import RunHere

pytestmark = pytest.mark.slow

WINDOW = {"WindowCenter": "2048", "WindowWidth": "4096", "PatientName": "Zebedee^Jane", "PatientID": "P7"}


@pytest.fixture
def exam(tmp_path: Path) -> Path:
    """A left breast with both views, a right one with CC alone, a letter, and a second copy of one image."""
    folder = tmp_path / "dicoms"
    folder.mkdir()
    for side, view, value in (("L", "CC", 2000), ("L", "MLO", 1800), ("R", "CC", 1200)):
        tags = {"ImageLaterality": side, "ViewPosition": view, "SOPInstanceUID": f"2.25.{ord(side)}{len(view)}"}
        content = make_dicom(
            half_disc(700, 500, value=value, right=side == "R"), AccessionNumber="E7", **tags, **WINDOW
        )
        (folder / f"{side}{view}.dcm").write_bytes(content)
    (folder / "copy.dcm").write_bytes((folder / "LCC.dcm").read_bytes())
    (folder / "letter.dcm").write_text("this is no image\n" * 50)
    return folder


@pytest.fixture
def head(run_here: RunHere, tmp_path: Path) -> Path:
    """A published head with attention, of fresh weights, imported as a user does it."""
    folder = tmp_path / "published"
    folder.mkdir()
    torch.manual_seed(0)
    shapes = {
        f"{kind}_proj_{at}": size for kind in ("global", "local") for at, size in (("0.0", (16, 110)), ("1.0", (8, 16)))
    }
    shapes |= {"k": (8, 8), "v": (8, 8), "linear_out": (1, 16)}
    state = {f"{name}.weight": torch.randn(shape) / 4 for name, shape in shapes.items()}
    state |= {f"{name}.bias": torch.zeros(shape[0]) for name, shape in shapes.items()}
    save_file(state | {"latent": torch.randn(1, 8)}, folder / "published.safetensors")
    stated = ("--dataset", "phantom", "--encoder", "texture", "--task", "mass", "--l2-normalise", "yes")
    places = ("--checkpoint", folder / "published.safetensors", "--out", folder / "head")
    imported = run_here(
        folder / "home", "import_head", *places, *stated, "--threshold", "0.5", "--set", "tiling.overlap=0.5"
    )
    assert imported.status == 0, imported.err
    return folder / "head"


def test_an_imported_head_scores_a_folder_in_one_command(
    run_here: RunHere, exam: Path, head: Path, tmp_path: Path, empty_tmp: Path
) -> None:
    out, home = tmp_path / "scores.csv", tmp_path / "home"
    finished = run_here(home, "predict", "--head", head, "--folder", exam, "--out", out)
    assert finished.status == 0, finished.err

    rows = {row["breast_id"]: row for row in read_csv(out)}
    assert {name: (row["views"], row["flag"]) for name, row in rows.items()} == {
        "E7_L": ("CC MLO", ""),
        "E7_R": ("CC", "misses MLO"),
    }
    assert all(0 < float(row["score"]) < 1 for row in rows.values())
    assert len({row["score"] for row in rows.values()}) == 2
    assert {row["split"] for row in rows.values()} == {""}
    refused = {row["file"]: row["error_class"] for row in read_csv(tmp_path / "scores.refused.csv")}
    assert set(refused) == {"copy.dcm", "letter.dcm"} or set(refused) == {"LCC.dcm", "letter.dcm"}
    tiles = read_csv(tmp_path / "scores.tiles.csv")
    assert {row["width"] for row in tiles} == {"256"}
    assert any(int(row["x"]) % 256 for row in tiles), "tiles overlap by half, as the head's card has it"
    about = json.loads((tmp_path / "scores.json").read_text())
    assert about["card"]["origin"] == "imported"
    for text in (finished.out, json.dumps(about)):
        assert "Research software, not a medical device." in text
    written = "".join(path.read_text() for path in tmp_path.glob("scores*"))
    assert "Zebedee" not in written + finished.out + finished.err

    assert not (home / "store").exists(), "a folder is scored without a store"
    assert not list(empty_tmp.glob("tilebank-*")), "and leaves no vectors behind"


def test_a_folder_without_a_mammogram_says_what_its_files_are(run_here: RunHere, head: Path, tmp_path: Path) -> None:
    folder = tmp_path / "letters"
    folder.mkdir()
    (folder / "letter.dcm").write_text("this is no image\n" * 50)
    out = tmp_path / "scores.csv"
    finished = run_here(tmp_path / "home", "predict", "--head", head, "--folder", folder, "--out", out)
    assert finished.status == 1
    assert f"no image below {folder} can be scored: 1 x read: not a DICOM file" in finished.err
    assert not list(tmp_path.glob("scores*"))
