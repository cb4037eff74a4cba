"""What a killed search has left goes with `clean` once nobody has taken it up for long, and not before."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import mlflow
import pytest

from tilebank.files import write_bytes
from tilebank.flows.maintain.request import Request
from tilebank.flows.maintain.store import maintain
from tilebank.flows.search.cleanup import clean_searches
from tilebank.flows.search.resume import LEASE, folder_of
from tilebank.flows.settings.choices import Choices
from tilebank.flows.settings.settings import Settings, load_settings
from tilebank.store.lease.lease import hold_lease
from tilebank.store.tables import Store
from tilebank.tracking.runs import Tracker, experiment_name

NOW, LONG = timedelta(0), timedelta(days=14)


@pytest.fixture
def settings(new_record: Callable[[Path], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("TILEBANK_HOME", str(tmp_path))
    new_record(tmp_path)
    return load_settings(Choices())


def searched(settings: Settings, key: str, *, status: str, packs: bool = True, dataset: str = "phantom") -> str:
    """The run of a search that came to this, and the folder with its packs."""
    experiment = experiment_name(dataset, task="mass")
    tracker = Tracker(settings.tracking, experiment=experiment, artifacts=settings.artifacts)
    tags = {"dataset": dataset, "task": "mass", "encoder": settings.encoder.name, "head": settings.head_name}
    with tracker.run("run", params={}, tags=tags, search=key) as run_id:
        pass
    mlflow.MlflowClient(settings.tracking).update_run(run_id, status=status)
    if packs:
        write_bytes(f"{folder_of(settings, key).uri}/round-000.json", b"[]")
    return run_id


def status_of(settings: Settings, run_id: str) -> str:
    return str(mlflow.MlflowClient(settings.tracking).get_run(run_id).info.status)


def folders(settings: Settings) -> set[str]:
    return {path.name for path in Path(settings.artifacts, "search").iterdir()}


def test_a_killed_search_goes_with_its_packs_and_its_run_ends(settings: Settings) -> None:
    killed = searched(settings, "killed", status="RUNNING")
    (planned,) = clean_searches(settings, older_than=NOW, plan=True)
    assert (planned.done, planned.figures["unfinished runs"]) == (False, 1)
    assert (status_of(settings, killed), folders(settings)) == ("RUNNING", {"killed"})

    (gone,) = clean_searches(settings, older_than=NOW, plan=False)
    assert gone.done
    assert gone.table == "search killed (mass, dual_stream)"
    assert (status_of(settings, killed), folders(settings)) == ("KILLED", set())
    assert clean_searches(settings, older_than=NOW, plan=False) == []


def test_what_was_written_lately_and_what_is_under_way_stay(settings: Settings) -> None:
    run_id = searched(settings, "lately", status="RUNNING")
    assert clean_searches(settings, older_than=LONG, plan=False) == []
    with hold_lease(folder_of(settings, "lately").uri, LEASE):
        assert clean_searches(settings, older_than=NOW, plan=False) == []
    assert (status_of(settings, run_id), folders(settings)) == ("RUNNING", {"lately"})


def test_ended_searches_lose_what_they_left_and_keep_their_word(settings: Settings) -> None:
    failed = searched(settings, "failed", status="FAILED")
    finished = searched(settings, "finished", status="FINISHED")
    whole = searched(settings, "whole", status="FINISHED", packs=False)
    gone = clean_searches(settings, older_than=NOW, plan=False)
    assert [each.table.split()[1] for each in gone] == ["failed", "finished"]
    assert [status_of(settings, run_id) for run_id in (failed, finished, whole)] == ["FAILED", "FINISHED", "FINISHED"]
    assert folders(settings) == set()


def test_a_run_whose_packs_are_gone_already_ends_too(settings: Settings) -> None:
    run_id = searched(settings, "bare", status="RUNNING", packs=False)
    assert len(clean_searches(settings, older_than=NOW, plan=False)) == 1
    assert status_of(settings, run_id) == "KILLED"


def test_searches_of_another_dataset_and_runs_of_no_search_are_none_of_it(settings: Settings) -> None:
    run_id = searched(settings, "other", status="RUNNING", dataset="phantom2")
    compared = searched(settings, "", status="RUNNING", packs=False)
    assert clean_searches(settings, older_than=NOW, plan=False) == []
    assert [status_of(settings, each) for each in (run_id, compared)] == ["RUNNING", "RUNNING"]
    assert folders(settings) == {"other"}


def test_without_a_record_there_is_nothing_and_none_is_made(settings: Settings) -> None:
    place = Path(settings.tracking.removeprefix("sqlite:///"))
    place.unlink()
    assert clean_searches(settings, older_than=NOW, plan=False) == []
    assert not place.exists()


def test_clean_tells_of_searches_beside_tables(settings: Settings) -> None:
    encoder = settings.encoder
    Store(settings.store).open_instances("phantom", encoder.name, dim=encoder.dim, licence=settings.licence)
    searched(settings, "killed", status="RUNNING")
    cleaned = maintain(settings, Request("clean", older_than=NOW))
    assert "search killed (mass, dual_stream) (clean)" in cleaned.as_text()
    assert "unfinished runs  1" in cleaned.as_text()
