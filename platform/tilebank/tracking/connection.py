"""How a record is reached: MLflow's client, quiet, and whether a database is there at all. Knows no runs."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tilebank.errors import TrackingError

_SQLITE = "sqlite:///"


def open_client(uri: str) -> Any:
    """MLflow's client of the record at `uri`, a database's folder made if it is missing. Raises as MLflow does."""
    _quieten()
    import mlflow

    if uri.startswith(_SQLITE):
        _database(uri).parent.mkdir(parents=True, exist_ok=True)
    mlflow.set_tracking_uri(uri)  # a model's files are looked for there, whatever address a call is given
    return mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)


def has_record(uri: str) -> bool:
    """False for a database that nobody has made yet. Those who only read ask first, as MLflow would make it."""
    return not uri.startswith(_SQLITE) or _database(uri).is_file()


def assert_reachable(uri: str) -> str:
    """Ask the record one question and say what it answered; a database that is not there yet is not made.

    Raises as MLflow does, OSError where the folder of a database cannot be made.
    """
    if not has_record(uri):
        folder = _database(uri).parent
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(f"{folder} cannot be written")
        return "made by the first search"
    experiments = open_client(uri).search_experiments(max_results=1000)
    return f"{len(experiments)} experiments"


@contextmanager
def errors_told(what: str, *, advice: str) -> Iterator[None]:
    """What MLflow, its database or a disk raises in the block, as a TrackingError: `what`, why, and `advice`."""
    _quieten()
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError  # MLflow lets pass what its database says of a file that is none

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        why = str(error).partition("\n[SQL")[0]  # without the statement
        raise TrackingError(f"{what}: {why}; {advice}") from error


def _database(uri: str) -> Path:
    return Path(uri.removeprefix(_SQLITE))


def _quieten() -> None:
    """Before MLflow's import: it tells of migrations and of its UI on the console, and a job has its own summary."""
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")  # its own seven take minutes to say no
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
