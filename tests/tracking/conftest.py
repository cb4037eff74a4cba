"""A record of runs on SQLite."""

from collections.abc import Callable
from pathlib import Path

import mlflow
import pytest

from tilebank.tracking.runs import Tracker


@pytest.fixture(scope="module")
def record(
    new_record: Callable[[Path], str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Tracker, mlflow.MlflowClient]:
    """An empty record and a look at it that is not ours."""
    home = tmp_path_factory.mktemp("record")
    uri = new_record(home)
    return Tracker(uri, experiment="study--task", artifacts=f"{home}/artifacts"), mlflow.MlflowClient(uri)
