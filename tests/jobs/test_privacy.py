"""Names planted in every text tag of every file: none may reach tables, logs, MLflow, reports or messages."""

import shutil
import tempfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import lance
import numpy as np
import pydicom
import pytest
from pydicom.datadict import DicomDictionary, keyword_for_tag
from tests.conftest import half_disc, make_dicom
from tests.jobs.conftest import Finished, User, user_at

pytestmark = pytest.mark.slow

PLANTED = "Zebedee"
TEXT_VRS = dict.fromkeys(("LO", "SH", "LT", "ST", "UT", "UC"), PLANTED) | {"PN": "Zebedee^Jane", "AE": "ZEBEDEE"}
# Ids are planted by hand below; a container would make a specimen of a breast.
KEPT = {"PatientID", "AccessionNumber", "ContainerIdentifier"}
PATIENTS = 14


def _planted(content: bytes) -> bytes:
    """The same image with a name in every text tag of the standard that is not an id or on the allow-list."""
    dataset = pydicom.dcmread(BytesIO(content))
    for tag, (vr, *_rest) in DicomDictionary.items():
        keyword = keyword_for_tag(tag)
        if vr in TEXT_VRS and keyword and keyword not in KEPT and tag >> 16 not in (0, 2, 4):
            setattr(dataset, keyword, TEXT_VRS[vr])
    block = dataset.private_block(0x0099, "ZEBEDEE CREATOR", create=True)
    block.add_new(0x01, "LO", "Zebedee private")
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fourteen patients with both breasts, some files damaged or not asked for, all with the name everywhere."""
    root = tmp_path_factory.mktemp("hospital") / "dicoms"
    root.mkdir()
    rng = np.random.default_rng(0)
    lines = ["exam_id,laterality,birads"]
    for patient in range(PATIENTS):
        for side in ("L", "R"):
            stored = half_disc(320, 240, value=1200 + int(rng.integers(800)), right=side == "R")
            tags = {"PatientID": f"ZEBEDEE{patient}", "AccessionNumber": f"ZEBEDEE-E{patient}", "ImageLaterality": side}
            uid = f"2.25.1{patient}{int(side == 'R')}"
            content = _planted(make_dicom(stored, SOPInstanceUID=uid, WindowCenter="1000", WindowWidth="2000", **tags))
            (root / f"{patient}{side}.dcm").write_bytes(content)
            lines.append(f"ZEBEDEE-E{patient},{side},{1 if (patient + (side == 'R')) % 2 else 5}")
    whole = (root / "0L.dcm").read_bytes()
    (root / "copy.dcm").write_bytes(whole)
    (root / "flipped.dcm").write_bytes(whole[:700] + bytes(b ^ 0x55 for b in whole[700:1200]) + whole[1200:])
    odd = {"SOPInstanceUID": "2.25.999", "PatientID": "ZEBEDEE99", "AccessionNumber": "ZEBEDEE-E99"}
    no_side = make_dicom(half_disc(320, 240), ImageLaterality=None, **odd)
    (root / "side.dcm").write_bytes(_planted(no_side))
    cut = _planted(make_dicom(half_disc(320, 240), **(odd | {"SOPInstanceUID": "2.25.997"})))
    (root / "cut.dcm").write_bytes(cut[: len(cut) // 2])
    viewed = {"SOPInstanceUID": "2.25.998", "ViewPosition": "ZEBEDEE JANE"}
    (root / "view.dcm").write_bytes(_planted(make_dicom(half_disc(320, 240), **(odd | viewed))))
    (root.parent / "labels.csv").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture(scope="module")
def run(hospital: Path) -> Iterator[tuple[User, Finished, Path]]:
    """Validate, extract and search as a user would, with keyed ids; all is kept below one folder, Ray's logs too."""
    place = Path(tempfile.mkdtemp(prefix="tb"))  # short: Ray's sockets allow no long path
    user = user_at(place / "home", TILEBANK_ID_KEY="a key that is long enough", TMPDIR=str(place))
    keyed = ("--dataset", "folder", "--root", hospital, "--set", "dataset.ids=keyed-hash")
    labels = ("--set", f"dataset.labels={hospital.parent / 'labels.csv'}")
    report = ("--pixels", "--csv", place / "report.csv", "--html", place / "report.html")
    search = ("--trials", 2, "--pack", 2, "--set", "search.fit.max_epochs=20")
    finished = user.run_jobs(
        ("validate", *keyed, *report),
        ("extract", *keyed, "--json", place / "extract.json"),
        ("tune_head", *keyed, *labels, *search, "--json", place / "tune.json"),
    )
    yield user, finished, place
    user.leave()
    shutil.rmtree(place)


def test_the_jobs_did_their_work(run: tuple[User, Finished, Path]) -> None:
    user, finished, _ = run
    assert finished.status == 0, finished.err
    rows = lance.dataset(f"{user.store}/instances--folder--texture.lance").to_table().to_pylist()
    assert len({row["patient_id"] for row in rows}) == PATIENTS
    failures = lance.dataset(f"{user.store}/failures--folder--texture.lance").to_table().to_pylist()
    assert {row["error_class"] for row in failures} >= {
        "DuplicateImage",
        "PixelDataCutOff",
        "SideMissing",
        "view-OTHER",
    }
    assert {row["uri"] for row in failures} == {""}, "a path may hold an id"


def test_no_name_and_no_plain_id_is_in_any_output(run: tuple[User, Finished, Path]) -> None:
    _, finished, _ = run
    assert "images stored" in finished.out
    assert PLANTED.lower() not in (finished.out + finished.err).lower()


def test_no_name_and_no_plain_id_is_in_any_table(run: tuple[User, Finished, Path]) -> None:
    user, _, _ = run
    tables = sorted(Path(user.store).glob("*.lance"))
    assert len(tables) >= 4
    for table in tables:
        columns = lance.dataset(str(table)).to_table()
        text = str([columns[name].to_pylist() for name in columns.column_names if name != "vector"])
        assert PLANTED.lower() not in text.lower(), table.name


def test_no_name_and_no_plain_id_is_in_any_file_that_is_kept(run: tuple[User, Finished, Path]) -> None:
    """MLflow's database and artifacts, reports, summaries, Ray's logs: every byte below the folder that holds them."""
    _, _, place = run
    files = [path for path in place.rglob("*") if path.is_file()]
    assert {"mlflow.db", "report.csv", "report.html", "tune.json"} <= {path.name for path in files}
    found = [str(path.relative_to(place)) for path in files if PLANTED.lower().encode() in path.read_bytes().lower()]
    assert not found
