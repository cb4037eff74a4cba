"""Find the runs of searches, finished or not, and end one that will not be continued."""

from dataclasses import dataclass
from datetime import UTC, datetime

from tilebank.tracking.connection import as_tracking_error, has_record, open_client
from tilebank.tracking.runs import MOST_RUNS, SEARCH


@dataclass(frozen=True)
class RecordedSearch:
    """A parent run. search: its key; running: it was not ended, be it under way or killed: the record cannot tell."""

    run_id: str
    search: str
    task: str
    head: str
    started: datetime
    running: bool


def find_searches(uri: str, dataset: str, *, encoder: str) -> list[RecordedSearch]:
    """All searches of a dataset's tasks on an encoder, oldest first; none without a record. Raises TrackingError."""
    if not has_record(uri):
        return []
    clause = f"tags.{SEARCH} != '' AND tags.dataset = '{dataset}' AND tags.encoder = '{encoder}'"
    with as_tracking_error(f"cannot read the MLflow runs in {uri}", advice="choose another with --tracking URI"):
        client = open_client(uri)
        experiments = client.search_experiments(filter_string=f"name LIKE '{dataset}--%'")
        ids = [experiment.experiment_id for experiment in experiments]
        order = ["attributes.start_time ASC"]
        runs = client.search_runs(ids, clause, max_results=MOST_RUNS, order_by=order) if ids else []
    return [
        RecordedSearch(
            run.info.run_id,
            search=run.data.tags[SEARCH],
            task=run.data.tags["task"],
            head=run.data.tags["head"],
            started=datetime.fromtimestamp(run.info.start_time / 1000, tz=UTC),
            running=run.info.status == "RUNNING",
        )
        for run in runs
    ]


def end_search(uri: str, run_id: str) -> None:
    """Mark the run as killed. Raises TrackingError."""
    with as_tracking_error(f"cannot write the MLflow runs in {uri}", advice="choose another with --tracking URI"):
        open_client(uri).set_terminated(run_id, status="KILLED")
