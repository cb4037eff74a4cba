"""The record of runs: MLflow. The only home of mlflow; knows names and figures, not heads, tables or Ray."""

import logging
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from tilebank.errors import TrackingError
from tilebank.files import join_uri, write_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CHAMPION = "champion"  # the alias of the head in use
SEARCH = "search"  # the tag of a parent run: which search it is, the same for every attempt at it
VAL_AUC = "val_auc"  # the tag of a version by which champions are compared
MODEL_TRAINING = {"mlflow.experimentKind": "custom_model_development"}  # which of its two faces the UI shows
_BATCH = 1000  # metrics in one log_batch: MLflow's own limit
_MOST_RUNS = 50_000  # that one question is answered with: MLflow's own limit


@dataclass(frozen=True)
class TrialRecord:
    """One trial as it is recorded: its settings, its last word on each figure, and curves by epoch (from 1)."""

    name: str
    params: Mapping[str, object]
    metrics: Mapping[str, float]
    curves: Mapping[str, NDArray[np.float64]]
    epochs: int


@dataclass(frozen=True)
class ServedModel:
    """A saved head on its way into the registry.

    folder: its files (weights, settings); loader_module: importable name of the module that opens them, with
    `_load_pyfunc`; code: the package folder that goes with it, so that nothing of ours needs to be installed;
    requirements: what it needs from PyPI; example_kinds and example_vectors (rows, D): the instances of one breast;
    score_columns: what it answers with beside `breast_id`.
    """

    folder: Path
    loader_module: str
    code: Path
    requirements: Sequence[str]
    example_kinds: Sequence[str]
    example_vectors: NDArray[np.floating[Any]]
    score_columns: Sequence[str] = ("score",)


@dataclass(frozen=True)
class Registration:
    """Where a head stands in the registry. standing_auc: validation AUC of the champion that it met, -inf for none."""

    name: str
    version: str
    champion: bool
    val_auc: float | None
    standing_auc: float

    def as_text(self) -> str:
        """One line for people."""
        if self.champion:
            return f"{self.name}, version {self.version}, alias {CHAMPION}"
        if self.val_auc is None:
            return f"{self.name}, version {self.version}; no champion, for it has no validation AUC here"
        return (
            f"{self.name}, version {self.version}; the champion stays, its validation AUC is {self.standing_auc:.3f}"
            " (--set search.promote=always replaces it)"
        )


@dataclass(frozen=True)
class RecordedRun:
    """A finished run as the record holds it; `metrics` are the last values, `started_ms` counts from 1970."""

    run_id: str
    started_ms: int
    tags: Mapping[str, str]
    metrics: Mapping[str, float]


class Tracker:
    """Runs of one experiment on one tracking server or database."""

    def __init__(self, uri: str, *, experiment: str, artifacts: str) -> None:
        """Open the record, making database and experiment when they are missing. Raises TrackingError."""
        _quieten()
        import mlflow

        self.uri = uri
        try:
            if uri.startswith("sqlite:///"):
                Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
            mlflow.set_tracking_uri(uri)
            self._client = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
            found = self._client.get_experiment_by_name(experiment)
            place = join_uri(artifacts, experiment)
            write_bytes(join_uri(artifacts, ".tilebank"), b"The root of Tilebank's artifacts.\n")
            self._experiment = (
                found.experiment_id if found else self._client.create_experiment(experiment, place, tags=MODEL_TRAINING)
            )
        except (mlflow.exceptions.MlflowException, OSError) as error:
            raise TrackingError(
                f"cannot reach the run record {uri}, or write its artifacts to {artifacts}: {error}; choose others with"
                " --tracking URI and --set artifacts=URI"
            ) from error

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

    def log_trials(self, parent: str, trials: Sequence[TrialRecord], *, tags: Mapping[str, str]) -> list[str]:
        """Child runs of `parent` with their curves; their ids, in the order given.

        Those that an earlier attempt has finished stay as they are; what it began is logged anew.
        """
        done: dict[str, str] = {}
        for child in self._find(f"tags.`mlflow.parentRunId` = '{parent}'"):
            if child.info.status == "FINISHED":
                done[child.info.run_name] = child.info.run_id
            else:
                self._client.delete_run(child.info.run_id)
        return [done.get(trial.name) or self._log_trial(parent, trial, tags=tags) for trial in trials]

    def log_results(
        self,
        run_id: str,
        *,
        metrics: Mapping[str, float],
        figures: Mapping[str, "Figure"],
        documents: Mapping[str, str],
    ) -> None:
        """What a finished run found: numbers, plots (`figures/NAME.png`), documents by file name."""
        for name, value in metrics.items():
            self._client.log_metric(run_id, name, value)
        for name, figure in figures.items():
            self._client.log_figure(run_id, figure, f"figures/{name}.png")
        for name, document in documents.items():
            self._client.log_text(run_id, document, name)

    def log_summary(self, run_id: str, text: str, *, seconds: Mapping[str, float] | None = None) -> None:
        """What a person reads first, as the run's description, and where the time went, as metrics `NAME_s`."""
        for name, value in (seconds or {}).items():
            self._client.log_metric(run_id, f"{name}_s", value)
        self._client.set_tag(run_id, "mlflow.note.content", f"```\n{text}\n```")

    def register_head(
        self,
        run_id: str,
        name: str,
        model: ServedModel,
        *,
        val_auc: float | None,
        promote: Literal["better", "always"] = "better",
    ) -> Registration:
        """Log the head with `run_id` as a pyfunc and register it as a version of `name`.

        It takes the alias `champion` where there is none, or where `promote` lets it: `better` asks for a higher
        validation AUC than the standing one's; a head without a validation AUC (None) never takes it. What is stored is
        data and readable source: no pickle. What an earlier attempt at the same run has registered is the version.
        """
        if not self._client.search_registered_models(f"name = '{name}'"):
            self._client.create_registered_model(name)
        found = self._client.search_model_versions(f"name = '{name}' and run_id = '{run_id}'")
        version = str(found[0].version if found else self._log_version(run_id, name, model, val_auc=val_auc))
        standing, standing_auc = self._standing(name)
        better = val_auc is not None and (promote == "always" or val_auc > standing_auc)
        champion = better or standing == version
        if champion:
            self._client.set_registered_model_alias(name, CHAMPION, version)
        return Registration(name, version, champion=champion, val_auc=val_auc, standing_auc=standing_auc)

    def _log_version(self, run_id: str, name: str, model: ServedModel, *, val_auc: float | None) -> str:
        import mlflow
        import pandas as pd

        vectors = model.example_vectors.astype(np.float64).tolist()
        frame = pd.DataFrame({"breast_id": "example", "kind": list(model.example_kinds), "vector": vectors})
        scores = pd.DataFrame({"breast_id": ["example"], **{column: [0.5] for column in model.score_columns}})
        with _active_run(run_id):
            logged = mlflow.pyfunc.log_model(
                name="head",
                loader_module=model.loader_module,
                data_path=str(model.folder),
                code_paths=[str(model.code)],
                pip_requirements=list(model.requirements),
                signature=mlflow.models.infer_signature(frame, scores),
                input_example=frame,
            )
        tags = {} if val_auc is None else {VAL_AUC: repr(val_auc)}
        created = self._client.create_model_version(
            name, logged.model_uri, run_id=run_id, model_id=logged.model_id, tags=tags
        )
        return str(created.version)

    def _standing(self, name: str) -> tuple[str, float]:
        """The version that is champion and its validation AUC; empty and -inf where there is none."""
        if CHAMPION not in self._client.get_registered_model(name).aliases:
            return "", -math.inf
        found = self._client.get_model_version_by_alias(name, CHAMPION)
        return str(found.version), float(found.tags[VAL_AUC])

    def _take_up(self, search: str, *, tags: Mapping[str, str], again: bool) -> str:
        """The latest run of `search`, running again under today's tags; empty where a new one is called for."""
        found = self._find(f"tags.{SEARCH} = '{search}'")
        if not found or (found[0].info.status == "FINISHED" and not again):
            return ""
        run_id: str = found[0].info.run_id
        self._client.update_run(run_id, status="RUNNING")
        for key, value in tags.items():
            self._client.set_tag(run_id, key, value)
        return run_id

    def _find(self, question: str) -> list[Any]:
        """Runs of the experiment, the latest first."""
        order = ["attributes.start_time DESC"]
        return list(self._client.search_runs([self._experiment], question, max_results=_MOST_RUNS, order_by=order))

    def _create(
        self, name: str, *, params: Mapping[str, object], tags: Mapping[str, str], parent: str | None = None
    ) -> str:
        all_tags = dict(tags) | ({"mlflow.parentRunId": parent} if parent else {})
        run_id: str = self._client.create_run(self._experiment, run_name=name, tags=all_tags).info.run_id
        self._client.log_batch(run_id, params=[_param(key, value) for key, value in params.items()])
        return run_id

    def _log_trial(self, parent: str, trial: TrialRecord, *, tags: Mapping[str, str]) -> str:
        run_id = self._create(trial.name, params=trial.params, tags=tags, parent=parent)
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


def find_runs(uri: str, experiment: str, *, tags: Mapping[str, str]) -> list[RecordedRun]:
    """The finished parent runs of an experiment that bear all of `tags`, newest first; none where it is not there.

    Writes nothing. Raises TrackingError.
    """
    _quieten()
    import mlflow

    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).exists():
        return []  # MLflow would make the database
    wanted = [f"tags.`{key}` = '{value}'" for key, value in tags.items()]
    clause = " AND ".join(["attributes.status = 'FINISHED'", "tags.`mlflow.parentRunId` IS NULL", *wanted])
    client, runs, page = mlflow.MlflowClient(tracking_uri=uri), [], None
    try:
        found = client.get_experiment_by_name(experiment)
        while found and page != "":
            part = client.search_runs(
                [found.experiment_id], clause, order_by=["attributes.start_time DESC"], page_token=page
            )
            runs += [RecordedRun(one.info.run_id, one.info.start_time, one.data.tags, one.data.metrics) for one in part]
            page = part.token or ""
    except mlflow.exceptions.MlflowException as error:
        raise TrackingError(f"cannot read the run record {uri}: {error}; choose another with --tracking URI") from error
    return runs


@dataclass(frozen=True)
class FetchedHead:
    """A registered head as files of this machine. folder: where they lie; aliases: what it is called there."""

    name: str
    version: str
    aliases: tuple[str, ...]
    folder: Path


def fetch_head(uri: str, wanted: str, *, into: Path) -> FetchedHead:
    """Copy a registered head into the folder `into`: `name` (its champion), `name@alias` or `name/version`.

    Makes no database. Raises TrackingError, naming what there is, for one that is not registered.
    """
    _quieten()
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).is_file():
        raise TrackingError(
            f"there is no run record at {uri}; search a head with jobs/tune_head.py, or name --tracking"
        )
    import mlflow

    mlflow.set_tracking_uri(uri)  # a model's files are looked for there, whatever address a call is given
    try:
        version = _find_version(mlflow.MlflowClient(), wanted, uri=uri)
        files = mlflow.artifacts.download_artifacts(version.source, dst_path=str(into))
    except (mlflow.exceptions.MlflowException, OSError) as error:
        raise TrackingError(f"cannot fetch head {wanted} from {uri}: {error}; is --tracking right?") from error
    cards = sorted(Path(files).rglob("head.json"))
    if len(cards) != 1:
        raise TrackingError(f"{version.name}, version {version.version} in {uri} is no Tilebank head")
    return FetchedHead(version.name, str(version.version), tuple(version.aliases), cards[0].parent)


def _find_version(client: Any, wanted: str, *, uri: str) -> Any:
    """The version that `wanted` names. Raises TrackingError with the names, versions and aliases that there are."""
    name, _, number = wanted.partition("/")
    name, _, alias = name.partition("@")
    models = {model.name: model for model in client.search_registered_models(max_results=1000)}
    if name not in models:
        known = ", ".join(sorted(models)) or "none; search one with jobs/tune_head.py"
        raise TrackingError(f"no head is registered as {name!r} in {uri}; registered: {known}")
    versions = {str(one.version): one for one in client.search_model_versions(f"name = '{name}'")}
    aliases = {key: str(value) for key, value in models[name].aliases.items()}
    chosen = number or aliases.get(alias or CHAMPION, "")
    if chosen not in versions:
        raise TrackingError(
            f"{name} has no {f'version {number}' if number else f'alias {alias or CHAMPION}'} in {uri}; versions:"
            f" {', '.join(sorted(versions, key=int))}; aliases: {', '.join(sorted(aliases)) or 'none'}; write it as"
            f" {name}/VERSION or {name}@ALIAS"
        )
    return client.get_model_version(name, chosen)


def load_champion(uri: str, name: str) -> Any:
    """The head that `name@champion` points to, as a pyfunc: `.predict(instances)`. Raises TrackingError."""
    _quieten()
    import mlflow

    mlflow.set_tracking_uri(uri)
    try:
        return mlflow.pyfunc.load_model(f"models:/{name}@{CHAMPION}")
    except mlflow.exceptions.MlflowException as error:
        raise TrackingError(f"{uri} has no champion for {name}: {error}; search one with jobs/tune_head.py") from error


@contextmanager
def _active_run(run_id: str) -> Iterator[None]:
    """MLflow logs models into its one active run; this one must stay running when the block ends."""
    import mlflow

    with mlflow.start_run(run_id=run_id):
        yield
    mlflow.MlflowClient().update_run(run_id, status="RUNNING")


def _quieten() -> None:
    """MLflow tells of migrations and of its UI on the console; a job has its own summary."""
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")  # its own seven take minutes to say no
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _param(key: str, value: object) -> Any:
    from mlflow.entities import Param

    return Param(key, str(value))


def _metric(key: str, value: float, time_ms: int, step: int) -> Any:
    from mlflow.entities import Metric

    return Metric(key, value, time_ms, step)


def _now_ms() -> int:
    from mlflow.utils.time import get_current_time_millis

    return int(get_current_time_millis())
