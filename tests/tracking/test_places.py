"""Where a run is looked at: on disk, in a bucket, on a server."""

from pathlib import Path

import mlflow
import pytest

from tilebank.errors import TrackingError
from tilebank.tracking.places import REPORT, RunPlace, find_place
from tilebank.tracking.runs import Tracker


def test_the_report_of_a_local_run_is_a_file_at_the_path_that_is_given(
    record: tuple[Tracker, mlflow.MlflowClient],
) -> None:
    tracker, client = record
    with tracker.run("run", params={}, tags={}) as run_id:
        tracker.log_results(run_id, metrics={}, figures={}, documents={REPORT: "<p>found</p>"})
    place = find_place(client.tracking_uri, run_id)
    assert Path(place.report).read_text() == "<p>found</p>"
    experiment = client.get_experiment_by_name("study--task").experiment_id
    assert place.page == f"http://127.0.0.1:5000/#/experiments/{experiment}/runs?workflowType=machine_learning"
    assert f"ui --backend-store-uri {client.tracking_uri}, then open {place.page}" in place.as_text()


def test_a_place_written_as_a_file_uri_is_shown_as_a_path(tmp_path: Path) -> None:
    uri, folder = f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "two words"
    tracker = Tracker(uri, experiment="study--task", artifacts=folder.as_uri())
    with tracker.run("run", params={}, tags={}) as run_id:
        tracker.log_results(run_id, metrics={}, figures={}, documents={REPORT: "here"})
    assert Path(find_place(uri, run_id).report).read_text() == "here"


def test_a_server_needs_no_command_and_remote_files_keep_their_uri() -> None:
    place = RunPlace("http://mlflow.lab:8080/", "7", "r1", "s3://bucket/artifacts/7/r1/artifacts")
    page = "http://mlflow.lab:8080/#/experiments/7/runs?workflowType=machine_learning"
    assert place.as_text() == f"run: r1\nreport: s3://bucket/artifacts/7/r1/artifacts/report.html\nMLflow: {page}"


def test_a_run_that_is_not_there_is_an_error_of_the_record(record: tuple[Tracker, mlflow.MlflowClient]) -> None:
    with pytest.raises(TrackingError, match="cannot read run nobody"):
        find_place(record[1].tracking_uri, "nobody")
