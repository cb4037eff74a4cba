"""A killed extraction loses nothing and doubles nothing: after any kill the table is that of a quiet run."""

import json
import signal
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
from tests.jobs.conftest import (
    IMAGES,
    SETTINGS,
    Command,
    Reference,
    User,
    assert_same_rows,
    read_rows,
    stored_images,
    wait_until,
)

pytestmark = pytest.mark.slow


def wait_for_some_images(command: Command, store: str) -> None:
    """Until something is stored; the command must still run then, or there would be nothing to interrupt."""
    wait_until(lambda: stored_images(store) > 0 or not command.running(), what="the first commit")
    assert command.running(), command.wait().err


def rows_by_image(table: pa.Table) -> Counter[str]:
    return Counter(table["image_id"].to_pylist())


def others(command: Command, pid: int) -> list[int]:
    """Encoders that are not the one with this id."""
    return [process.pid for process in command.titled("ray::MapWorker") if process.pid != pid]


def test_the_same_command_after_a_killed_driver_stores_exactly_the_rest(
    user: User, phantom_root: Path, reference: Reference, tmp_path: Path
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

    again = user.run_job("extract", *flags, "--json", tmp_path / "again.json")
    assert again.status == 0, again.err
    summary = json.loads((tmp_path / "again.json").read_text())
    assert (summary["plan"]["done"], summary["images"]) == (done, IMAGES - done), "only what was missing is encoded"
    assert_same_rows(read_rows(user.store), reference.instances)
    assert read_rows(user.store, kind="failures").num_rows == 0


def test_a_killed_encoder_worker_is_replaced_and_the_run_ends_well(
    user: User, phantom_root: Path, reference: Reference, tmp_path: Path
) -> None:
    command = user.start_job(
        "extract", "--dataset", "phantom", "--root", phantom_root, *SETTINGS, "--json", tmp_path / "summary.json"
    )
    wait_for_some_images(command, user.store)
    (worker,) = command.titled("ray::MapWorker")
    worker.send_signal(signal.SIGKILL)
    assert stored_images(user.store) < IMAGES, "the kill came in the middle"
    wait_until(lambda: bool(others(command, worker.pid)) or not command.running(), what="another encoder")
    assert others(command, worker.pid), command.wait().err
    finished = command.wait()

    assert finished.status == 0, finished.err
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["images"], summary["failures"]) == (IMAGES, {})
    assert_same_rows(read_rows(user.store), reference.instances)
    assert read_rows(user.store, kind="failures").num_rows == 0
