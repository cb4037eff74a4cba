"""A record of runs on SQLite."""

import mlflow
import pytest

from tilebank.tracking.runs import Tracker


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tracker, mlflow.MlflowClient]:
    """An empty record and a look at it that is not ours."""
    home = tmp_path_factory.mktemp("record")
    uri = f"sqlite:///{home}/mlflow.db"
    return Tracker(uri, experiment="study--task", artifacts=f"{home}/artifacts"), mlflow.MlflowClient(uri)
