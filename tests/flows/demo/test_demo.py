"""The demonstration on a tiny study: what it ends with, and that a second call makes nothing again."""

from pathlib import Path

import mlflow
import pytest
from tests.flows.conftest import MakeSettings
from tests.flows.stored_phantoms import copy_images

from tilebank.flows.demo.demo import run_demo
from tilebank.flows.demo.study import FULL, SMALL, DemoStudy, choices_of_study, dataset_of, size_of, study_of
from tilebank.flows.engine.pipelines import read_manifest
from tilebank.flows.settings.choices import Choices
from tilebank.flows.settings.settings import load_settings
from tilebank.phantom.config import PhantomConfig
from tilebank.phantom.plan import plan_exams

TINY = PhantomConfig(patients=30, rows=512, columns=384, max_exams=1)  # that of the fixture phantom_root
NEW = 4
SHORT = ("search.trials=2", "search.pack=2", "search.fit.max_epochs=3", "splits.val=0.2", "evaluation.replicates=20")


@pytest.fixture
def study(settings_for: MakeSettings, phantom_store: Path, ray_session: None) -> DemoStudy:
    """A tiny study that lacks the vectors of some images, as a call that was interrupted leaves it."""
    settings = settings_for(*SHORT, dataset="demo")
    images = [image.image_id for image in read_manifest(settings).images]
    copy_images(phantom_store, settings, images[NEW:])
    return DemoStudy(settings, TINY, flags="--dataset demo")


@pytest.mark.slow
def test_a_second_call_makes_nothing_again_and_shows_the_same(study: DemoStudy) -> None:
    settings, said = study.settings, list[str]()
    first = run_demo(study, announce=said.append)
    assert [line[:3] for line in said] == ["1/3", "2/3", "3/3"]
    assert "120 images of 512 x 384 pixels, 30 exams of 30 patients" in said[0]
    assert (first.searched, first.extraction.images) == (True, NEW)
    second = run_demo(study, announce=said.append)
    assert (second.searched, second.phantoms.written, second.extraction.images) == (False, False, 0)
    assert (second.place, second.champion) == (first.place, first.champion)

    run = mlflow.MlflowClient(settings.tracking).get_run(first.place.run_id)
    assert first.champion.test_auc == run.data.metrics["test_auc"]
    assert first.champion.test_breasts == run.data.metrics["test_breasts"]
    report = Path(second.place.report)
    assert "AUC" in report.read_text()
    shown = second.as_text()
    for part in (str(report), f"/#/experiments/{run.info.experiment_id}/runs?", "120 of 120 images"):
        assert part in shown
    assert len([line for line in shown.splitlines() if line.startswith("  tilebank ")]) == 3


@pytest.mark.slow
@pytest.mark.long
def test_a_search_whose_report_is_gone_is_made_again(study: DemoStudy) -> None:
    first = run_demo(study, announce=list[str]().append)
    Path(first.place.report).unlink()
    again = run_demo(study, announce=list[str]().append)
    assert again.searched
    assert again.champion == first.champion
    assert Path(again.place.report).is_file()


def test_the_full_study_is_that_of_the_documentation(settings_for: MakeSettings) -> None:
    exams = plan_exams(FULL)
    assert (len(exams) * 4, FULL.patients, FULL.rows, FULL.columns) == (844, 150, 2048, 1536)
    study = DemoStudy(settings_for(), FULL, flags="", full=True)
    assert size_of(study, exams) == "844 images of 2048 x 1536 pixels, 211 exams of 150 patients, about 3.1 GB"


def test_the_small_study_has_splits_of_its_own_unless_others_are_asked_for(settings_for: MakeSettings) -> None:
    def shares(*said: str, full: bool = False) -> tuple[float, float]:
        splits = load_settings(choices_of_study(Choices(set=said), full=full)).splits
        return splits.val, splits.test

    assert shares() == (0.15, 0.25)
    assert shares("splits.val=0.3") == (0.3, 0.25)
    assert shares(full=True) == (0.1, 0.2)


def test_the_small_study_is_a_part_of_the_full_one() -> None:
    first_exams = {exam.exam_id: exam for exam in plan_exams(FULL) if exam.exam_number == 1}
    assert all(exam == first_exams[exam.exam_id] for exam in plan_exams(SMALL))


@pytest.mark.parametrize(("cores", "full", "read_cpus"), [(2, False, 0.5), (8, False, 1), (2, True, 1)])
def test_two_images_are_read_at_a_time_on_two_cores(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cores: int, full: bool, read_cpus: float
) -> None:
    monkeypatch.setenv("TILEBANK_HOME", str(tmp_path))
    settings = load_settings(Choices(dataset=dataset_of(full=full)))
    study = study_of(settings, full=full, cores=cores)
    assert study.settings.extraction.read_cpus == read_cpus
    assert study.settings.fingerprint == settings.fingerprint


def test_each_study_has_a_root_and_tables_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TILEBANK_HOME", str(tmp_path))
    small, full = (load_settings(Choices(dataset=dataset_of(full=full))) for full in (False, True))
    fewer = study_of(small, full=False, patients=60)
    named = {settings.dataset.name: settings.dataset.root for settings in (small, full, fewer.settings)}
    assert named == {"demo": f"{tmp_path}/demo", "phantom": f"{tmp_path}/phantom", "demo-60": f"{tmp_path}/demo-60"}
    assert (fewer.phantoms.patients, fewer.phantoms.rows) == (60, SMALL.rows)
    flags = fewer.flags.split()
    assert flags == ["--dataset", "demo", "--set", "dataset.name=demo-60", "--root", f"{tmp_path}/demo-60"]
    again = load_settings(Choices(dataset=flags[1], root=flags[5], set=(flags[3],)))
    assert again.dataset == fewer.settings.dataset
