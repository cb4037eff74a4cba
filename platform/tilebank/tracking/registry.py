"""Register heads in MLflow: versions of a name, one of which is the champion."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tilebank.tracking.connection import open_client

CHAMPION = "champion"  # the alias of the head in use
VAL_AUC = "val_auc"  # the tag of a version by which champions are compared


def registered_name(dataset: str, *, task: str, encoder: str) -> str:
    """What the heads of all searches of a dataset, task and encoder are registered as: they share one champion."""
    return f"{dataset}--{task}--{encoder}"


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
    """A head's place in the registry. standing_auc: validation AUC of the champion before it, None without one."""

    name: str
    version: str
    champion: bool
    val_auc: float | None
    standing_auc: float | None

    def as_text(self) -> str:
        """One line of text."""
        if self.champion:
            return f"{self.name}, version {self.version}, alias {CHAMPION}"
        if self.val_auc is None:
            return f"{self.name}, version {self.version}; no champion, for it has no validation AUC here"
        return (
            f"{self.name}, version {self.version}; the champion stays, its validation AUC is {self.standing_auc:.3f}"
            " (--set search.promote=always replaces it)"
        )


def register_head(
    uri: str,
    model: ServedModel,
    *,
    name: str,
    run_id: str,
    val_auc: float | None,
    promote: Literal["better", "always"] = "better",
) -> Registration:
    """Log the head with `run_id` as a pyfunc and register it as a version of `name`.

    It takes the alias `champion` where there is none, or where `promote` lets it: `better` asks for a higher
    validation AUC than the standing one's. A head without a validation AUC (None) never takes it. What is stored is
    data and readable source: no pickle. A version that an earlier attempt at the same run has registered is the one.
    """
    client = open_client(uri)
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    found = client.search_model_versions(f"name = '{name}' and run_id = '{run_id}'")
    version = str(found[0].version if found else _log_version(client, model, name=name, run_id=run_id, val_auc=val_auc))
    standing, standing_auc = _standing(client, name)
    free = standing in ("", version) or promote == "always"
    champion = val_auc is not None and (free or standing_auc is None or val_auc > standing_auc)
    if champion:
        client.set_registered_model_alias(name, CHAMPION, version)
    return Registration(name=name, version=version, champion=champion, val_auc=val_auc, standing_auc=standing_auc)


def _log_version(client: Any, model: ServedModel, *, name: str, run_id: str, val_auc: float | None) -> str:
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
    created = client.create_model_version(name, logged.model_uri, run_id=run_id, model_id=logged.model_id, tags=tags)
    return str(created.version)


def _standing(client: Any, name: str) -> tuple[str, float | None]:
    """The version that is champion and its validation AUC; empty and None where there is none."""
    if CHAMPION not in client.get_registered_model(name).aliases:
        return "", None
    found = client.get_model_version_by_alias(name, CHAMPION)
    return str(found.version), float(found.tags[VAL_AUC])


@contextmanager
def _active_run(run_id: str) -> Iterator[None]:
    """Make this MLflow's active run, into which it logs models, and keep it running when the block ends."""
    import mlflow

    with mlflow.start_run(run_id=run_id):
        yield
    mlflow.MlflowClient().update_run(run_id, status="RUNNING")
