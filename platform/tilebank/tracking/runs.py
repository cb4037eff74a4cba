"""Record a search in MLflow: its run, its trials with their curves, and its results."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tilebank.files import join_uri, write_bytes
from tilebank.tracking.connection import as_tracking_error, open_client
from tilebank.tracking.inputs import DatasetUsed, RunSource

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SEARCH = "search"  # the tag of a parent run: which search it is, the same for every attempt at it
MODEL_TRAINING = {"mlflow.experimentKind": "custom_model_development"}  # which of its two faces the UI shows
_BATCH = 1000  # metrics in one log_batch: MLflow's own limit
MOST_RUNS = 50_000  # that one question is answered with: MLflow's own limit


def experiment_name(dataset: str, *, task: str) -> str:
    """The experiment that holds all searches of a dataset and task."""
    return f"{dataset}--{task}"


@dataclass(frozen=True)
class TrialRecord:
    """One trial as it is recorded: its settings, its final value of each metric, and curves by epoch (from 1)."""

    name: str
    params: Mapping[str, object]
    metrics: Mapping[str, float]
    curves: Mapping[str, NDArray[np.float64]]
    epochs: int


class Tracker:
    """Runs of one experiment on one tracking server or database."""

    def __init__(self, uri: str, *, experiment: str, artifacts: str, source: RunSource | None = None) -> None:
        """Connect to MLflow, creating database and experiment if they are missing. Raises TrackingError.

        source: the program behind all of its runs.
        """
        self._source = source.as_tags() if source else {}
        with as_tracking_error(
            f"cannot reach MLflow at {uri}, or write its artifacts to {artifacts}",
            advice="choose others with --tracking URI and --set artifacts=URI",
            artifacts=artifacts,
        ):
            self._client = open_client(uri)
            found = self._client.get_experiment_by_name(experiment)
            place = join_uri(artifacts, experiment)
            write_bytes(join_uri(artifacts, ".tilebank"), b"The root of Tilebank's artifacts.\n")
            self._experiment = (
                found.experiment_id if found else self._client.create_experiment(experiment, place, tags=MODEL_TRAINING)
            )

    @contextmanager
    def run(
        self, name: str, *, params: Mapping[str, object], tags: Mapping[str, str], search: str = "", again: bool = False
    ) -> Iterator[str]:
        """A parent run, by id; it ends as failed when the body raises.

        An unfinished run of the same `search`, which was killed or failed, goes on instead of a new one; `again` says
        that this attempt takes up what an earlier one left, and lets even a finished run go on: nothing stands twice.
        Without a `search` it is a run of its own.
        """
        run_id = self._take_up(search, tags=tags, again=again) if search else ""
        run_id = run_id or self._create(name, params=params, tags=dict(tags) | ({SEARCH: search} if search else {}))
        try:
            yield run_id
        except BaseException:
            self._client.set_terminated(run_id, status="FAILED")
            raise
        self._client.set_terminated(run_id)

    def log_datasets(self, run_id: str, datasets: Sequence[DatasetUsed]) -> None:
        """Record the tables that the run read; logged again, they stand once."""
        self._client.log_inputs(run_id, datasets=[each.as_input() for each in datasets])

    def log_trials(
        self,
        parent: str,
        trials: Sequence[TrialRecord],
        *,
        tags: Mapping[str, str],
        datasets: Sequence[DatasetUsed] = (),
    ) -> list[str]:
        """Child runs of `parent` with their curves and `datasets`; their ids, in the order given.

        Those that an earlier attempt finished stay as they are; unfinished ones are logged again.
        """
        done: dict[str, str] = {}
        for child in self._find(f"tags.`mlflow.parentRunId` = '{parent}'"):
            if child.info.status == "FINISHED":
                done[child.info.run_name] = child.info.run_id
            else:
                self._client.delete_run(child.info.run_id)
        return [
            done.get(trial.name) or self._log_trial(parent, trial, tags=tags, datasets=datasets) for trial in trials
        ]

    def log_results(
        self,
        run_id: str,
        *,
        metrics: Mapping[str, float],
        figures: Mapping[str, "Figure"],
        documents: Mapping[str, str],
    ) -> None:
        """Log the results of a run: metrics, plots (`figures/NAME.png`), documents by file name."""
        for name, value in metrics.items():
            self._client.log_metric(run_id, name, value)
        for name, figure in figures.items():
            self._client.log_figure(run_id, figure, f"figures/{name}.png")
        for name, document in documents.items():
            self._client.log_text(run_id, document, name)

    def log_summary(self, run_id: str, text: str, *, seconds: Mapping[str, float] | None = None) -> None:
        """Set the run's description to the summary `text`, and log seconds by phase as metrics `NAME_s`."""
        for name, value in (seconds or {}).items():
            self._client.log_metric(run_id, f"{name}_s", value)
        self._client.set_tag(run_id, "mlflow.note.content", f"```\n{text}\n```")

    def _take_up(self, search: str, *, tags: Mapping[str, str], again: bool) -> str:
        """The latest run of `search`, running again under today's tags; empty where a new one is called for."""
        found = self._find(f"tags.{SEARCH} = '{search}'")
        if not found or (found[0].info.status == "FINISHED" and not again):
            return ""
        run_id: str = found[0].info.run_id
        self._client.update_run(run_id, status="RUNNING")
        for key, value in (self._source | dict(tags)).items():
            self._client.set_tag(run_id, key, value)
        return run_id

    def _find(self, question: str) -> list[Any]:
        """Runs of the experiment, the latest first."""
        order = ["attributes.start_time DESC"]
        return list(self._client.search_runs([self._experiment], question, max_results=MOST_RUNS, order_by=order))

    def _create(
        self, name: str, *, params: Mapping[str, object], tags: Mapping[str, str], parent: str | None = None
    ) -> str:
        all_tags = self._source | dict(tags) | ({"mlflow.parentRunId": parent} if parent else {})
        run_id: str = self._client.create_run(self._experiment, run_name=name, tags=all_tags).info.run_id
        self._client.log_batch(run_id, params=[_param(key, value) for key, value in params.items()])
        return run_id

    def _log_trial(
        self, parent: str, trial: TrialRecord, *, tags: Mapping[str, str], datasets: Sequence[DatasetUsed]
    ) -> str:
        run_id = self._create(trial.name, params=trial.params, tags=tags, parent=parent)
        if datasets:
            self.log_datasets(run_id, datasets)
        now = _now_ms()
        points = [
            _metric(key, float(value), now, epoch)
            for key, curve in trial.curves.items()
            for epoch, value in enumerate(curve, start=1)
        ]
        points += [_metric(key, float(value), now, trial.epochs) for key, value in trial.metrics.items()]
        for start in range(0, len(points), _BATCH):
            self._client.log_batch(run_id, metrics=points[start : start + _BATCH])
        self._client.set_terminated(run_id)
        return run_id


def _param(key: str, value: object) -> Any:
    from mlflow.entities import Param

    return Param(key, str(value))


def _metric(key: str, value: float, time_ms: int, step: int) -> Any:
    from mlflow.entities import Metric

    return Metric(key, value, time_ms, step)


def _now_ms() -> int:
    from mlflow.utils.time import get_current_time_millis

    return int(get_current_time_millis())
