"""What is left out of a comparison and counted, and what cannot be compared at all."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.flows.recorded_searches import PATIENTS, kept, record, settings_at, split_of

from tilebank.errors import ConfigError, DatasetError, StoreError, TrackingError
from tilebank.evaluation.report import evaluate
from tilebank.flows.compare.compare import compare_searches
from tilebank.flows.compare.runs import Wanted
from tilebank.flows.search.record import tags_of
from tilebank.tracking.runs import Tracker


@pytest.fixture(scope="module")
def home(new_record: Callable[[Path], str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("refused")
    new_record(home)
    return home


def test_breasts_that_one_search_did_not_score_are_left_out_for_all_and_counted(home: Path) -> None:
    settings, views = settings_at(home), settings_at(home, "texture", "views_only", "splits.seed=5")
    val, test = split_of("v", gap=2, seed=0), split_of("t", gap=2, seed=1)
    shown = list(range(7, 2 * PATIENTS))
    fewer = kept(split_of("t", gap=1, seed=2), shown[::-1])
    record(settings, val, test, task="mass")
    record(views, kept(split_of("v", gap=1, seed=3), range(60)), fewer, task="mass")
    found = compare_searches(settings, task="mass", wanted=Wanted(), out=home / "mass")
    assert found.counts.breasts == len(shown)
    assert found.heads[0].evaluation == evaluate(val, kept(test, shown), replicates=200, seed=0)
    notes = " ".join(found.notes)
    assert "test breasts that only some of the searches scored are left out: 7" in notes
    assert "patients were split in 2 ways (val=0.1 test=0.2 seed=0; val=0.1 test=0.2 seed=5)" in notes
    assert "the searches' validation breasts are not the same" in notes
    assert "<b>Note:</b> test breasts that only some" in (home / "mass" / "compare.html").read_text()


def test_other_labels_and_too_little_in_common_are_refused(home: Path) -> None:
    settings, views = settings_at(home), settings_at(home, head="views_only")
    val, test = split_of("v", gap=2, seed=0), split_of("t", gap=2, seed=1)
    first = record(settings, val, test, task="calcification")
    swapped = replace(test, labels=np.roll(test.labels, 1))
    second = record(views, val, swapped, task="calcification")
    with pytest.raises(DatasetError, match=r"saw other labels or patients for \d+ breasts") as caught:
        compare_searches(settings, task="calcification", wanted=Wanted(), out=home / "swapped")
    assert first.run_id in str(caught.value)
    assert second.run_id in str(caught.value)
    record(views, val, split_of("u", gap=1, seed=1), task="calcification")
    with pytest.raises(DatasetError, match="0 test breasts are common to all 2 searches, 0 of them positive"):
        compare_searches(settings, task="calcification", wanted=Wanted(), out=home / "apart")


def test_what_is_missing_is_named(home: Path, tmp_path: Path) -> None:
    settings, views = settings_at(home), settings_at(home, head="views_only")
    val, test = split_of("v", gap=2, seed=0), split_of("t", gap=2, seed=1)
    with pytest.raises(TrackingError, match="no finished search of cancer on phantom; .*tilebank tune"):
        compare_searches(settings, task="cancer", wanted=Wanted(), out=home / "none")
    record(settings, val, test, task="cancer")
    with pytest.raises(TrackingError, match="only one search can be compared: dual_stream on texture"):
        compare_searches(settings, task="cancer", wanted=Wanted(), out=home / "none")
    assert not (home / "none").exists()
    lost = record(views, None, test, task="cancer")
    with pytest.raises(StoreError, match=f"holds no val predictions of texture/views_only .run {lost.run_id}"):
        compare_searches(settings, task="cancer", wanted=Wanted(), out=home / "lost")
    with pytest.raises(ConfigError, match="unknown task 'cancr'"):
        compare_searches(settings, task="cancr", wanted=Wanted(), out=home / "none")
    nowhere = settings.model_copy(update={"tracking": f"sqlite:///{tmp_path}/none.db"})
    with pytest.raises(TrackingError, match="no finished search"):
        compare_searches(nowhere, task="malignancy", wanted=Wanted(), out=home / "none")
    assert not list(tmp_path.iterdir()), "looking makes no database"
    record(views, val, test, task="cancer")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match="--out"):
        compare_searches(settings, task="cancer", wanted=Wanted(), out=tmp_path / "file" / "out")


def test_a_task_of_several_classes_is_refused(home: Path) -> None:
    settings = settings_at(home)
    tracker = Tracker(settings.tracking, experiment="phantom--density", artifacts=settings.artifacts)
    tags = tags_of(settings, task="density", fingerprint="f" * 16, table_version=3)
    with tracker.run("search", params={}, tags=tags) as run_id:
        tracker.log_results(run_id, metrics={"val_auc": 0.9}, figures={}, documents={})
    with pytest.raises(ConfigError, match="density has several classes or labels"):
        compare_searches(settings, task="density", wanted=Wanted(), out=home / "none")
