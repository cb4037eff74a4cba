"""A killed extraction loses nothing and doubles nothing: after any kill the table is that of a quiet run."""

import json
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pyarrow as pa
import pytest
from tests.jobs.conftest import (
    IMAGES,
    SETTINGS,
    Command,
    Reference,
    RunHere,
    User,
    assert_same_rows,
    read_rows,
    stored_images,
    wait_until,
    whose_title,
)

pytestmark = [pytest.mark.slow, pytest.mark.long]


def wait_for_some_images(command: Command, store: str) -> None:
    """Until something is stored; the command must still run then, or there would be nothing to interrupt."""
    wait_until(lambda: stored_images(store) > 0 or not command.running(), what="the first commit")
    assert command.running(), command.wait().err


def rows_by_image(table: pa.Table) -> Counter[str]:
    return Counter(table["image_id"].to_pylist())


def encoders() -> list[psutil.Process]:
    """The encoders of an extraction in this process."""
    return whose_title(psutil.Process().children(recursive=True), lambda title: title.startswith("ray::MapWorker"))


def kill_encoder(store: str) -> int:
    """Once something is stored; how many images are stored when another encoder has come in its place."""
    wait_until(lambda: stored_images(store) > 0, what="the first commit")
    (worker,) = encoders()
    worker.send_signal(signal.SIGKILL)
    stored = stored_images(store)
    wait_until(lambda: any(each.pid != worker.pid for each in encoders()), what="another encoder", every_s=0.01)
    return stored


def test_the_same_command_after_a_killed_driver_stores_exactly_the_rest(
    user: User, run_here: RunHere, phantom_root: Path, reference: Reference, tmp_path: Path
) -> None:
    flags = ("--dataset", "phantom", "--root", phantom_root, *SETTINGS)
    first = user.start_job("extract", *flags)
    wait_for_some_images(first, user.store)
    assert len(first.family()) > 3, "Ray's processes are of the command's session"
    first.kill()
    wait_until(lambda: not first.titled("ray::Map"), what="Ray's workers end with their driver", timeout_s=40)
    first.end()  # Ray's two agents would take a minute to notice

    left = read_rows(user.store)
    done = stored_images(user.store)
    assert 0 < done < IMAGES, "the kill came in the middle"
    whole = rows_by_image(reference.instances)
    assert all(count == whole[image_id] for image_id, count in rows_by_image(left).items()), "no image in part"

    again = run_here(user.home, "extract", *flags, "--json", tmp_path / "again.json")
    assert again.status == 0, again.err
    summary = json.loads((tmp_path / "again.json").read_text())
    assert (summary["plan"]["done"], summary["images"]) == (done, IMAGES - done), "only what was missing is encoded"
    assert_same_rows(read_rows(user.store), reference.instances)
    assert read_rows(user.store, kind="failures").num_rows == 0


def test_a_killed_encoder_worker_is_replaced_and_the_run_ends_well(
    run_here: RunHere, phantom_root: Path, reference: Reference, tmp_path: Path
) -> None:
    home, summary = tmp_path / "home", tmp_path / "summary.json"
    with ThreadPoolExecutor(1) as beside:
        killing = beside.submit(kill_encoder, f"{home}/store")
        finished = run_here(
            home, "extract", "--dataset", "phantom", "--root", phantom_root, *SETTINGS, "--json", summary
        )
        assert killing.result() < IMAGES, "the kill came in the middle"

    assert finished.status == 0, finished.err
    found = json.loads(summary.read_text())
    assert (found["images"], found["failures"]) == (IMAGES, {})
    assert_same_rows(read_rows(f"{home}/store"), reference.instances)
    assert read_rows(f"{home}/store", kind="failures").num_rows == 0
