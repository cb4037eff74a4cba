"""Where a run is looked at: its files, and its experiment's page in MLflow's UI."""

import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tilebank.tracking.connection import as_tracking_error, open_client

REPORT = "report.html"
LOCAL_UI = "http://127.0.0.1:5000"  # where `mlflow ui` answers unless told otherwise
PAGE = "{server}/#/experiments/{experiment_id}/runs?workflowType=machine_learning"


@dataclass(frozen=True)
class RunPlace:
    """A run's address. artifacts: folder or URI that holds its files; tracking: URI of the server or database."""

    tracking: str
    experiment_id: str
    run_id: str
    artifacts: str

    @property
    def report(self) -> str:
        """The champion's report: a path on this machine, or the URI of files that lie elsewhere."""
        return f"{self.artifacts}/{REPORT}"

    @property
    def page(self) -> str:
        """The experiment's table of runs in MLflow's UI."""
        server = self.tracking.rstrip("/") if self._is_served else LOCAL_UI
        return PAGE.format(server=server, experiment_id=self.experiment_id)

    @property
    def how_to_open(self) -> str:
        """The page, after the command that serves it where no server runs yet."""
        if self._is_served:
            return self.page
        mlflow = Path(sys.executable).with_name("mlflow")
        return f"{mlflow} ui --backend-store-uri {self.tracking}, then open {self.page}"

    def as_text(self) -> str:
        """Three lines for people: the run, its report, and how to open it in MLflow."""
        return f"run: {self.run_id}\nreport: {self.report}\nMLflow: {self.how_to_open}"

    @property
    def _is_served(self) -> bool:
        return self.tracking.startswith(("http://", "https://"))


def find_place(uri: str, run_id: str) -> RunPlace:
    """Where the run `run_id` of the record at `uri` is looked at. Raises TrackingError."""
    with as_tracking_error(f"cannot read run {run_id} of the run record {uri}", advice="is --tracking right?"):
        info = open_client(uri).get_run(run_id).info
    return RunPlace(uri, info.experiment_id, run_id, _on_disk(info.artifact_uri))


def _on_disk(artifacts: str) -> str:
    """`file:///a%20b` as the path that it names; any other URI as it is."""
    parts = urlsplit(artifacts)
    return (unquote(parts.path) if parts.scheme == "file" else artifacts).rstrip("/")
