"""A new dataset's configuration file: what is written, what is seen, what is refused."""

import csv
from pathlib import Path

import pytest
import yaml

from tilebank.errors import ConfigError, DatasetError, TilebankError
from tilebank.flows.extract.plan import plan_extraction
from tilebank.flows.init.init import InitRequest, init_dataset
from tilebank.flows.settings.choices import Choices
from tilebank.flows.settings.settings import load_settings
from tilebank.flows.study.study import plan_study
from tilebank.flows.validate.validate import validate

CONF = Path(__file__).resolve().parents[3] / "conf"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory of the user's own, with an empty conf folder."""
    (tmp_path / "conf").mkdir()
    for name in ("STORE", "TRACKING", "ARTIFACTS", "CONF"):
        monkeypatch.delenv(f"TILEBANK_{name}", raising=False)
    monkeypatch.setenv("TILEBANK_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def labels_at(path: Path, *rows: dict[str, str]) -> str:
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return str(path)


def written(here: Path, name: str = "mystudy") -> dict[str, object]:
    return dict(yaml.safe_load((here / "conf" / "datasets" / f"{name}.yaml").read_text()))


@pytest.mark.slow
def test_the_name_is_enough_in_every_job_afterwards(here: Path, phantom_root: Path, ray_session: None) -> None:
    summary = init_dataset(InitRequest("mystudy", root=str(phantom_root), labels=str(phantom_root / "breasts.csv")))
    shown = summary.as_text()
    assert "120 files that may be images; of 20 looked at, 20 would be used" in shown
    assert "task malignancy" in shown
    assert "tilebank tune --dataset mystudy --encoder texture --task malignancy" in shown
    settings = load_settings(Choices(dataset="mystudy"))
    assert settings.dataset.name == "mystudy"
    looked = validate(settings, pixels=False, sample=0, html=here / "validation.html")
    assert looked.report.all.accept == 120
    assert {task.task for task in looked.tasks if task.lines} >= {"malignancy", "density", "mass"}
    plan = plan_extraction(settings)
    assert (plan.images, plan.done) == (120, 0)
    labels, splits = plan_study(settings, plan.pending, task="malignancy")
    assert {row.patient_id for row in labels} == set(splits)


def test_the_file_holds_absolute_places_and_explains_each_key(here: Path, phantom_root: Path) -> None:
    (here / "images").symlink_to(phantom_root)
    labels = labels_at(here / "labels.csv", {"exam_id": "PH-0001-1", "laterality": "left", "birads": "4A", "note": "x"})
    summary = init_dataset(InitRequest("mystudy", root="images", labels="labels.csv"))
    text = (here / "conf" / "datasets" / "mystudy.yaml").read_text()
    found = written(here)
    assert found["root"] == str(phantom_root.resolve())
    assert found["labels"] == labels
    assert (found["licence"], found["redistributable"], found["ids"]) == ("unknown", False, "plain")
    lines = text.splitlines()
    keys = [place for place, line in enumerate(lines) if line and line[0].isalpha()]
    assert len(keys) == len(found)
    assert all(lines[place - 1].startswith("# ") for place in keys)
    assert summary.labels is not None
    assert summary.labels.used == ("exam_id", "laterality", "birads")
    assert summary.labels.unused == ("note",)
    assert "one answer only" in summary.as_text()
    assert load_settings(Choices(dataset="mystudy")).dataset.root == found["root"]


def test_the_exam_tag_that_fits_the_labels_is_chosen(here: Path, phantom_root: Path) -> None:
    by_accession = {"exam_id": "PH-0001-1", "laterality": "L", "cancer": "1"}
    init_dataset(InitRequest("a", root=str(phantom_root), labels=labels_at(here / "a.csv", by_accession)))
    assert written(here, "a")["exam_key"] == "accession_number"
    study_uid = init_dataset(InitRequest("b", root=str(phantom_root))).files.headers[0].study_uid
    by_uid = {"exam_id": study_uid, "laterality": "L", "cancer": "1"}
    summary = init_dataset(InitRequest("c", root=str(phantom_root), labels=labels_at(here / "c.csv", by_uid)))
    assert written(here, "c")["exam_key"] == "study_uid"
    assert "study_uid; " in summary.as_text()


def test_labels_of_other_exams_are_pointed_out(here: Path, phantom_root: Path) -> None:
    labels = labels_at(here / "labels.csv", {"exam_id": "elsewhere", "laterality": "L", "cancer": "1"})
    shown = init_dataset(InitRequest("mystudy", root=str(phantom_root), labels=labels)).as_text()
    assert "WARNING" in shown
    assert "0 of 20 files looked at" in shown


def test_files_that_are_no_mammograms_are_told_of(here: Path) -> None:
    (here / "images").mkdir()
    (here / "images" / "notes").write_text("no DICOM")
    shown = init_dataset(InitRequest("mystudy", root="images")).as_text()
    assert "1 file that may be an image; of 1 looked at, 0 would be used" in shown
    assert "1 x read: " in shown


def test_a_public_dataset_keeps_its_owners_terms(here: Path, tmp_path: Path) -> None:
    (tmp_path / "vindr").mkdir()
    (tmp_path / "vindr" / "1.dicom").write_bytes(b"x")
    init_dataset(InitRequest("vindr-2022", root="vindr", adapter="vindr"))
    found, theirs = written(here, "vindr-2022"), yaml.safe_load((CONF / "datasets" / "vindr.yaml").read_text())
    assert found == theirs | {"root": str(tmp_path / "vindr")}


def test_a_licence_and_leave_to_share_are_written(here: Path, phantom_root: Path) -> None:
    request = InitRequest("mystudy", root=str(phantom_root), licence="CC-BY-4.0", redistributable=True)
    init_dataset(request)
    assert load_settings(Choices(dataset="mystudy")).licence == {"licence": "CC-BY-4.0", "redistributable": "true"}


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (InitRequest("my--study", root="images"), "cannot be named 'my--study'"),
        (InitRequest("../mine", root="images"), "cannot be named"),
        (InitRequest("folder", root="images"), "comes with Tilebank"),
        (InitRequest("demo", root="images"), "comes with Tilebank"),
        (InitRequest("mystudy", root="images", adapter="foldr"), "unknown adapter 'foldr'; known: cbis"),
        (InitRequest("mystudy", root="nowhere"), "--root .*nowhere: there is no such path"),
        (InitRequest("mystudy", root="images", labels="none.csv"), "--labels .*none.csv: there is no such path"),
        (
            InitRequest("mystudy", root="images", labels="facts.csv"),
            "answers no task: it has the columns exam_id, later",
        ),
        (InitRequest("mystudy", root="images", labels="sides.csv"), "the laterality of exam 1"),
        (InitRequest("mystudy", root="images", labels="facts.csv", adapter="embed"), "leave out --labels"),
        (InitRequest("mystudy", root="empty"), "no file below"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_work_is_refused_and_nothing_is_written(here: Path, request_: InitRequest, message: str) -> None:
    (here / "images").mkdir()
    (here / "empty").mkdir()
    (here / "images" / "1.dcm").write_bytes(b"x")
    labels_at(here / "facts.csv", {"exam_id": "1", "laterality": "L", "colour": "red"})
    labels_at(here / "sides.csv", {"exam_id": "1", "laterality": "X", "cancer": "1"})
    before = sorted((here / "conf").rglob("*"))
    with pytest.raises(TilebankError, match=message):
        init_dataset(request_)
    assert sorted((here / "conf").rglob("*")) == before


def test_an_existing_file_is_replaced_only_by_force(here: Path, phantom_root: Path) -> None:
    init_dataset(InitRequest("mystudy", root=str(phantom_root)))
    with pytest.raises(ConfigError, match=r"mystudy\.yaml exists already; .*--force"):
        init_dataset(InitRequest("mystudy", root=str(here)))
    init_dataset(InitRequest("mystudy", root=str(phantom_root), licence="own", force=True))
    assert written(here)["licence"] == "own"


def test_a_column_that_cannot_be_read_is_named_beside_the_tasks_that_work(here: Path, phantom_root: Path) -> None:
    row = {"exam_id": "PH-0001-1", "laterality": "L", "cancer": "1", "birads": "worse"}
    summary = init_dataset(InitRequest("mystudy", root=str(phantom_root), labels=labels_at(here / "l.csv", row)))
    assert "'worse'" in summary.as_text()


def test_files_lie_where_tilebank_conf_says(here: Path, phantom_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILEBANK_CONF", str(here / "mine"))
    (here / "mine").mkdir()
    summary = init_dataset(InitRequest("mystudy", root=str(phantom_root)))
    assert summary.path == str(here / "mine" / "datasets" / "mystudy.yaml")
    with pytest.raises(DatasetError):
        init_dataset(InitRequest("other", root=str(here / "nowhere")))
