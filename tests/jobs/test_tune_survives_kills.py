"""A killed search loses no finished pack: the same command ends with the champion and the record of a quiet one."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import mlflow
import pytest
from tests.jobs.conftest import RunHere, User, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.long]

TRIALS, ROUND = 6, 3
LONG = ("--set", "search.fit.max_epochs=80", "--set", "search.fit.patience=80")
# Packs of one head: a kill after the first of a round finds others that are still to be fitted.
SEARCH = ("--search", "optuna", "--trials", TRIALS, "--set", f"search.round_trials={ROUND}", "--pack", 1)


def trials_of(user: User) -> int:
    """How many trials are in finished packs of a search that is under way."""
    count = 0
    for path in (user.home / "artifacts" / "search").glob("*/pack-*.zip"):
        with ZipFile(path) as pack:
            count += sum(name.endswith("outcome.json") for name in pack.namelist())
    return count


def weights_of(record: mlflow.MlflowClient) -> bytes:
    """The file of the champion's weights."""
    source = record.get_model_version_by_alias("phantom--malignancy--texture", "champion").source
    mlflow.set_tracking_uri(record.tracking_uri)  # logged models are looked up there, whatever the call says
    folder = Path(mlflow.artifacts.download_artifacts(source))
    (weights,) = folder.rglob("head.safetensors")
    return weights.read_bytes()


def test_the_same_command_after_a_killed_search_ends_with_the_same_champion_and_one_run(
    user: User,
    run_here: RunHere,
    new_record: Callable[[Path], str],
    phantom_root: Path,
    phantom_store: Path,
    tmp_path: Path,
) -> None:
    flags = ("--dataset", "phantom", "--root", phantom_root, *SEARCH, *LONG, "--set", "splits.val=0.2")
    quiet = tmp_path / "quiet"
    records = [mlflow.MlflowClient(new_record(home)) for home in (user.home, quiet)]
    for home in (user.home, quiet):
        shutil.copytree(phantom_store, home / "store")

    killed = user.start_job("tune_head", *flags)
    wait_until(lambda: trials_of(user) > ROUND or not killed.running(), what="a pack of the second round", every_s=0.01)
    assert killed.running(), killed.wait().err
    killed.kill()
    killed.end()
    kept = trials_of(user)
    assert ROUND < kept < TRIALS, "the kill came in the middle"

    again = run_here(user.home, "tune_head", *flags, "--json", tmp_path / "again.json")
    assert again.status == 0, again.err
    undisturbed = run_here(quiet, "tune_head", *flags, "--json", tmp_path / "quiet.json")
    assert undisturbed.status == 0, undisturbed.err

    found, wanted = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("again", "quiet"))
    assert (found["resumed"], wanted["resumed"]) == (kept, 0)
    assert f"{found['resumed']} of {TRIALS} trials were fitted before" in again.out
    same = ("val_aucs", "champion_seed", "drawn", "evaluation")
    assert {name: found[name] for name in same} == {name: wanted[name] for name in same}
    record, other = records
    assert weights_of(record) == weights_of(other)

    experiment = record.get_experiment_by_name("phantom--malignancy").experiment_id
    runs = {run.info.run_id: run for run in record.search_runs([experiment])}
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    parents = [run_id for run_id, run in runs.items() if "mlflow.parentRunId" not in run.data.tags]
    assert parents == [found["run_id"]]
    assert sorted(int(run.data.params["seed"]) for run_id, run in runs.items() if run_id != parents[0]) == list(
        range(TRIALS)
    )
    assert not list((user.home / "artifacts" / "search").iterdir()), "nothing is left to go on from"
