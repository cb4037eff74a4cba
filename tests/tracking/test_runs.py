"""The record of a search that is killed and asked for again: one run, every trial once."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow
import numpy as np
import pytest

from tilebank.tracking.inputs import DatasetUsed, RunSource
from tilebank.tracking.runs import Tracker, TrialRecord

TRIALS = [
    TrialRecord(f"seed {seed}", {"seed": seed}, {"best_val_auc": 0.5}, {"val_auc": np.array([0.4, 0.5])}, 2)
    for seed in range(3)
]


@contextmanager
def attempt(tracker: Tracker, search: str, *, again: bool = False, **tags: str) -> Iterator[str]:
    with tracker.run("run", params={"trials": 3}, tags=tags, search=search, again=again) as run_id:
        yield run_id


def kill_in(record: tuple[Tracker, mlflow.MlflowClient], search: str, *, logged: int = 0, **tags: str) -> str:
    """What an attempt that was killed after `logged` trials leaves: a run that says it is running."""
    tracker, client = record
    with attempt(tracker, search, **tags) as run_id:
        tracker.log_trials(run_id, TRIALS[:logged], tags={})
    client.update_run(run_id, status="RUNNING")
    return run_id


def children(client: mlflow.MlflowClient, run_id: str) -> list[mlflow.entities.Run]:
    experiment = client.get_experiment_by_name("study--task").experiment_id
    return client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{run_id}'")


def test_a_killed_run_goes_on_and_ends(record: tuple[Tracker, mlflow.MlflowClient]) -> None:
    tracker, client = record
    killed = kill_in(record, "a", revision="1")
    assert client.get_run(killed).info.status == "RUNNING"
    with attempt(tracker, "a", revision="2") as run_id:
        assert run_id == killed
        assert client.get_run(run_id).info.status == "RUNNING"
    found = client.get_run(killed)
    assert found.info.status == "FINISHED"
    assert (found.data.tags["search"], found.data.tags["revision"]) == ("a", "2")


def test_a_failed_run_goes_on_too(record: tuple[Tracker, mlflow.MlflowClient]) -> None:
    tracker, client = record
    with pytest.raises(KeyboardInterrupt), attempt(tracker, "b") as failed:
        raise KeyboardInterrupt
    assert client.get_run(failed).info.status == "FAILED"
    with attempt(tracker, "b") as run_id:
        assert run_id == failed
    assert client.get_run(failed).info.status == "FINISHED"


def test_a_finished_search_asked_for_again_is_a_new_run_unless_it_left_something(
    record: tuple[Tracker, mlflow.MlflowClient],
) -> None:
    tracker, _ = record
    with attempt(tracker, "c") as first:
        pass
    with attempt(tracker, "c", again=True) as same:
        pass
    with attempt(tracker, "c") as second, attempt(tracker, "d") as other:
        pass
    assert same == first
    assert len({first, second, other}) == 3


def test_trials_that_are_logged_already_are_not_logged_again(record: tuple[Tracker, mlflow.MlflowClient]) -> None:
    tracker, client = record
    killed = kill_in(record, "e", logged=2)
    whole, half = children(client, killed)
    client.update_run(half.info.run_id, status="RUNNING")  # the kill came while this one was written
    with attempt(tracker, "e") as run_id:
        ids = tracker.log_trials(run_id, TRIALS, tags={})
    found = children(client, run_id)
    assert sorted(child.info.run_name for child in found) == [trial.name for trial in TRIALS]
    assert {child.info.status for child in found} == {"FINISHED"}
    assert {child.info.run_id for child in found} == set(ids)
    assert whole.info.run_id in ids
    assert half.info.run_id not in ids


def test_a_run_and_its_trials_carry_their_dataset_and_source(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    source = RunSource("/home/ann/tilebank", is_job=True, commit="abc123")
    tracker = Tracker(uri, experiment="study--task", artifacts=f"{tmp_path}/artifacts", source=source)
    counts = {"train": {"breasts": 8, "patients": 4, "mass": 2}}
    used = DatasetUsed("instances--d--e", 7, "f" * 16, "s3://b/instances--d--e.lance", "training", counts)
    with tracker.run("run", params={}, tags={"task": "mass"}) as run_id:
        for _ in range(2):  # a search that resumes logs it again
            tracker.log_datasets(run_id, [used])
        tracker.log_trials(run_id, TRIALS[:2], tags={}, datasets=[used])
    client = mlflow.MlflowClient(uri)
    runs = [client.get_run(run_id), *children(client, run_id)]
    assert len(runs) == 3
    for run in runs:
        (logged,) = run.inputs.dataset_inputs
        assert (logged.dataset.name, logged.dataset.digest) == ("instances--d--e", f"{'f' * 16}-v7")
        assert json.loads(logged.dataset.source) == {
            "uri": "s3://b/instances--d--e.lance",
            "version": 7,
            "fingerprint": "f" * 16,
        }
        assert json.loads(logged.dataset.profile) == counts
        assert [(tag.key, tag.value) for tag in logged.tags] == [("mlflow.data.context", "training")]
        tags = run.data.tags
        assert tags["mlflow.source.name"] == "/home/ann/tilebank"
        assert (tags["mlflow.source.type"], tags["mlflow.source.git.commit"]) == ("JOB", "abc123")
