"""Heads in the registry: a version once, and the champion that only a better one replaces."""

from pathlib import Path

import mlflow
import numpy as np

import tilebank
from tilebank.mil.heads.dual_stream import DualStreamConfig
from tilebank.mil.heads.registry import build_head, save_head
from tilebank.tracking.registry import ServedModel, register_head
from tilebank.tracking.runs import Tracker


def test_a_head_that_is_registered_already_is_not_registered_again(
    record: tuple[Tracker, mlflow.MlflowClient], tmp_path: Path
) -> None:
    tracker, client = record
    save_head(build_head(DualStreamConfig(), dim=2, seeds=[0]), tmp_path)
    code = Path(tilebank.__file__).parent
    model = ServedModel(tmp_path, "tilebank.mil.serving", code, [], ["view", "tile"], np.ones((2, 2)))
    with tracker.run("f", params={}, tags={}) as first:
        found = [
            register_head(client.tracking_uri, model, name="head", run_id=first, val_auc=0.8, promote="better")
            for _ in range(2)
        ]
    assert found[0].champion
    assert found[1].champion
    assert [str(each.version) for each in client.search_model_versions("name = 'head'")] == [found[0].version]
    with tracker.run("g", params={}, tags={}) as second:
        worse = register_head(client.tracking_uri, model, name="head", run_id=second, val_auc=0.7, promote="better")
    assert (worse.champion, worse.standing_auc) == (False, 0.8)
    assert client.get_model_version_by_alias("head", "champion").run_id == first
