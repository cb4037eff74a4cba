"""Connect to MLflow: a quiet client, and errors in plain words."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tilebank.errors import TrackingError
from tilebank.storage_errors import storage_reason

_SQLITE = "sqlite:///"
LONGEST = 200  # characters of an answer that is not recognised
HTTP_REASONS = {  # how MLflow's client words what a server does
    "Connection refused": "the server refused the connection; is it running?",
    "Failed to resolve": "the name of its host is not known",
    "Name or service not known": "the name of its host is not known",
    "timed out": "the server did not answer in time",
    "error code 401": "the server wants a user and a password (MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD)",
    "error code 403": "the server denied access; is the name of its host in its --allowed-hosts?",
}

logger = logging.getLogger(__name__)


def open_client(uri: str) -> Any:
    """MLflow's client for `uri`; creates the folder of a database if it is missing. Raises as MLflow does."""
    _quieten()
    import mlflow

    if uri.startswith(_SQLITE):
        _database(uri).parent.mkdir(parents=True, exist_ok=True)
    mlflow.set_tracking_uri(uri)  # a model's files are looked for there, whatever address a call is given
    return mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)


def has_record(uri: str) -> bool:
    """False for a database that does not exist yet. Readers check this first, because MLflow would create it."""
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
def as_tracking_error(what: str, *, advice: str, artifacts: str = "") -> Iterator[None]:
    """Turn errors of MLflow, its database, a disk or a bucket into a TrackingError: `what`, why, and `advice`.

    artifacts: the URI of files that the block writes.
    """
    _quieten()
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError  # MLflow lets pass what its database says of a file that is none

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        raise TrackingError(f"{what}: {_reason(error, artifacts)}; {advice}") from error


def _reason(error: Exception, artifacts: str) -> str:
    if isinstance(error, OSError):
        return storage_reason(error, artifacts)
    text = str(error).partition("\n[SQL")[0]  # without the statement
    if not text.startswith("API request to"):
        return text
    logger.debug("%s", text)
    for wording, reason in HTTP_REASONS.items():
        if wording in text:
            return reason
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _database(uri: str) -> Path:
    return Path(uri.removeprefix(_SQLITE))


def _quieten() -> None:
    """Silence MLflow before its import: it prints migrations and hints to the console; a job prints its own summary."""
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # two lines a trial
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")  # its own seven take minutes to say no
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
