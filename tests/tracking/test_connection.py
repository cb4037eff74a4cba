"""Reading a record leaves no database where none was."""

from pathlib import Path

import pytest

from tilebank.errors import TrackingError
from tilebank.tracking.connection import has_record
from tilebank.tracking.download import fetch_head
from tilebank.tracking.finished_runs import find_runs
from tilebank.tracking.runs import Tracker


def test_who_only_reads_makes_no_database(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    assert find_runs(uri, "study--task", tags={}) == []
    with pytest.raises(TrackingError, match="there is no run record at"):
        fetch_head(uri, "head", into=tmp_path / "head")
    assert not has_record(uri)
    assert list(tmp_path.iterdir()) == []


def test_a_record_is_there_once_it_is_written(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/new/mlflow.db"
    Tracker(uri, experiment="study--task", artifacts=f"{tmp_path}/artifacts")
    assert has_record(uri)
    assert find_runs(uri, "study--task", tags={}) == []


def test_what_cannot_be_reached_is_said_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("not a database")
    with pytest.raises(TrackingError, match="cannot read the MLflow runs .*choose another with --tracking"):
        find_runs(f"sqlite:///{tmp_path}/mlflow.db", "study--task", tags={})
