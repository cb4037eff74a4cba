"""Find the finished runs of an experiment."""

from collections.abc import Mapping
from dataclasses import dataclass

from tilebank.tracking.connection import as_tracking_error, has_record, open_client


@dataclass(frozen=True)
class RecordedRun:
    """A finished run; `metrics` are the last values, `started_ms` is milliseconds since 1970."""

    run_id: str
    started_ms: int
    tags: Mapping[str, str]
    metrics: Mapping[str, float]


def find_runs(uri: str, experiment: str, *, tags: Mapping[str, str]) -> list[RecordedRun]:
    """The finished parent runs of an experiment that bear all of `tags`, newest first; none where it is not there.

    Writes nothing. Raises TrackingError.
    """
    wanted = [f"tags.`{key}` = '{value}'" for key, value in tags.items()]
    clause = " AND ".join(["attributes.status = 'FINISHED'", "tags.`mlflow.parentRunId` IS NULL", *wanted])
    runs: list[RecordedRun] = []
    if not has_record(uri):
        return runs
    with as_tracking_error(f"cannot read the MLflow runs in {uri}", advice="choose another with --tracking URI"):
        client = open_client(uri)
        found, page = client.get_experiment_by_name(experiment), None
        while found and page != "":
            part = client.search_runs(
                [found.experiment_id], clause, order_by=["attributes.start_time DESC"], page_token=page
            )
            runs += [RecordedRun(one.info.run_id, one.info.start_time, one.data.tags, one.data.metrics) for one in part]
            page = part.token or ""
    return runs
