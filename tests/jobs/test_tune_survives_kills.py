"""A killed search loses no finished pack: the same command ends with the champion and the record of a quiet one."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import mlflow
import pytest
from tests.jobs.conftest import SETTINGS, Reference, User, user_at, wait_until

pytestmark = pytest.mark.slow

TRIALS, ROUND = 8, 4
LONG = ("--set", "search.fit.max_epochs=500", "--set", "search.fit.patience=500")  # a kill must find it at work
SEARCH = ("--search", "optuna", "--trials", TRIALS, "--set", f"search.round_trials={ROUND}", "--pack", 2)


@pytest.fixture
def quiet(tmp_path: Path) -> Iterator[User]:
    """Somebody whose search nobody disturbs."""
    user = user_at(tmp_path / "quiet")
    yield user
    user.leave()


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
    user: User, quiet: User, phantom_root: Path, reference: Reference, tmp_path: Path
) -> None:
    flags = ("--dataset", "phantom", "--root", phantom_root, *SETTINGS, *SEARCH, *LONG, "--set", "splits.val=0.2")
    for each in (user, quiet):
        shutil.copytree(reference.store, each.store)

    killed = user.start_job("tune_head", *flags)
    wait_until(lambda: trials_of(user) > ROUND or not killed.running(), what="a pack of the second round")
    assert killed.running(), killed.wait().err
    killed.kill()
    killed.end()
    kept = trials_of(user)
    assert ROUND < kept < TRIALS, "the kill came in the middle"

    undisturbed = quiet.start_job("tune_head", *flags, "--json", tmp_path / "quiet.json")
    again = user.run_job("tune_head", *flags, "--json", tmp_path / "again.json")
    assert again.status == 0, again.err
    alone = undisturbed.wait()
    assert alone.status == 0, alone.err

    found, wanted = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("again", "quiet"))
    assert (found["resumed"], wanted["resumed"]) == (kept, 0)
    assert f"{found['resumed']} of {TRIALS} trials were fitted before" in again.out
    same = ("val_aucs", "champion_seed", "drawn", "evaluation")
    assert {name: found[name] for name in same} == {name: wanted[name] for name in same}
    record, other = (mlflow.MlflowClient(f"sqlite:///{each.home}/mlflow.db") for each in (user, quiet))
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
