"""Kills at random, faults in the network: whatever happens to an extraction, it ends with the rows of a quiet one.

Not part of `make test`, which kills a driver and a worker once each: `make chaos`. TILEBANK_CHAOS_KILLS says how many
kills (20 a place unless told), TILEBANK_CHAOS_SEED which.
"""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.faulty_proxy import Fault, Kind, faulty_proxy
from tests.jobs.conftest import (
    SETTINGS,
    Command,
    Reference,
    User,
    assert_same_rows,
    read_rows,
    user_at,
    wait_until,
)
from tests.s3_server import S3Server, s3_server

pytestmark = [pytest.mark.slow, pytest.mark.chaos]

KILLS = int(os.environ.get("TILEBANK_CHAOS_KILLS", "20"))
SEED = int(os.environ.get("TILEBANK_CHAOS_SEED", "0"))
SMALL_COMMITS = (*SETTINGS, "--set", "extraction.commit_images=3", "--set", "extraction.images_per_batch=3")
VICTIMS = {  # by the title of their processes; the driver is the command itself
    "worker": "ray::",
    "actor": "ray::MapWorker",
    "child": "from tilebank.flows.engine.isolation",
    "raylet": "raylet/raylet",
    "control store": "gcs_server",
}


@dataclass
class Round:
    """One store, extracted again and again until it is whole; what was killed on the way."""

    user: User
    flags: tuple[object, ...]
    chance: random.Random
    commits: Callable[[], int]
    killed: Counter[str] = field(default_factory=Counter)

    def run(self, *, kills: int) -> None:
        """Run to the end, with at most this many kills."""
        while True:
            command = self.user.start_job("extract", *self.flags)
            while command.running() and self.killed.total() < kills:
                self._kill_something(command)
            finished = command.wait()
            command.end()
            if finished.status == 0:
                return
            assert self.killed, finished.err

    def _kill_something(self, command: Command) -> None:
        """After a while, or in the middle of a commit, one process of the family."""
        if self.chance.random() < 0.3:
            before = self.commits()
            wait_until(lambda: self.commits() > before or not command.running(), what="a commit", every_s=0.001)
            victim = "driver"
        else:
            self._wait(command, seconds=self.chance.uniform(1, 14))
            victim = self.chance.choice(["driver", *VICTIMS])
        if not command.running():
            return
        if victim == "driver":
            command.kill()
            command.end()
        else:
            found = command.titled_with(VICTIMS[victim])
            if not found:
                return
            self.chance.choice(found).send_signal(signal.SIGKILL)
            if victim in ("raylet", "control store"):  # nothing is left that could go on
                self._wait(command, seconds=20)
                command.kill() if command.running() else None
                command.end()
        self.killed[victim] += 1

    def _wait(self, command: Command, *, seconds: float) -> None:
        ends = time.monotonic() + seconds
        while command.running() and time.monotonic() < ends:
            time.sleep(0.1)


def rounds_of(
    make_user: Callable[[int], User], flags: tuple[object, ...], commits: Callable[[User], int]
) -> Iterator[Round]:
    """Fresh stores, until KILLS kills have struck; each is handed out to be looked at."""
    chance, killed = random.Random(SEED), 0
    number = 0
    while killed < KILLS:
        user = make_user(number)
        one = Round(user, flags, chance, lambda user=user: commits(user))
        one.run(kills=KILLS - killed)
        killed += one.killed.total()
        number += 1
        print(f"round {number}: killed {dict(one.killed)}, {killed} of {KILLS}")  # noqa: T201 - the test's own report
        yield one


def assert_whole(user: User, reference: Reference, options: Mapping[str, str] | None) -> None:
    verified = user.run_job("store", "verify", "--dataset", "phantom")
    assert verified.status == 0, verified.out + verified.err
    store = user.env.get("TILEBANK_STORE", user.store)
    assert_same_rows(read_rows(store, options=options), reference.instances)
    assert read_rows(store, kind="failures", options=options).num_rows == 0


def test_kills_at_random_points_leave_the_rows_of_a_quiet_run(
    phantom_root: Path, reference: Reference, tmp_path: Path
) -> None:
    flags = ("--dataset", "phantom", "--root", phantom_root, *SMALL_COMMITS)

    def data_files(user: User) -> int:
        return sum(1 for _ in Path(user.store).glob("instances--*.lance/data/*"))

    for one in rounds_of(lambda number: user_at(tmp_path / f"home-{number}"), flags, data_files):
        assert_whole(one.user, reference, None)
        one.user.leave()


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


def test_kills_at_random_points_on_s3_leave_the_rows_of_a_quiet_run(
    phantom_root: Path, reference: Reference, server: S3Server, tmp_path: Path
) -> None:
    flags = ("--dataset", "phantom", "--root", phantom_root, *SMALL_COMMITS)
    client = server.client()

    def user_with_bucket(number: int) -> User:
        place = f"s3://{server.make_bucket()}/store"
        return user_at(tmp_path / f"home-{number}", TILEBANK_STORE=place, **server.environment())

    def data_files(user: User) -> int:
        bucket = user.env["TILEBANK_STORE"].split("/")[2]
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="store/instances")
        return sum("/data/" in entry["Key"] for page in pages for entry in page.get("Contents", []))

    for one in rounds_of(user_with_bucket, flags, data_files):
        assert_whole(one.user, reference, server.lance_options())
        one.user.leave()


FAULTS = {
    "503 now and then": (
        Fault(Kind.ERROR, "PUT", times=40, share=0.15),
        Fault(Kind.ERROR, "GET", times=200, share=0.05),
    ),
    "cut connections": (Fault(Kind.RESET, "PUT", times=20, share=0.1), Fault(Kind.RESET, "GET", times=100, share=0.05)),
    "answers lost": (
        Fault(Kind.CUT_ANSWER, "PUT", times=20, share=0.1),
        Fault(Kind.CUT_ANSWER, "GET", times=60, share=0.05),
    ),
    "slow": (Fault(Kind.SLOW, "GET", times=60, share=0.1, pause_s=1.5), Fault(Kind.SLOW, "PUT", times=20, share=0.2)),
}


@pytest.mark.parametrize("faults", FAULTS.values(), ids=lambda faults: faults[0].kind.value)
def test_a_faulty_network_changes_no_row(
    faults: tuple[Fault, ...], phantom_root: Path, reference: Reference, server: S3Server, tmp_path: Path
) -> None:
    """DICOMs and store both behind the proxy; the same command again goes on where it gave up."""
    client, bucket = server.client(), server.make_bucket()
    for path in sorted(phantom_root.rglob("*")):
        if path.is_file():
            client.upload_file(str(path), bucket, f"phantom/{path.relative_to(phantom_root)}")
    with faulty_proxy(server.endpoint, seed=SEED) as proxy:
        proxy.expect(*faults)
        user = user_at(tmp_path / "home", TILEBANK_STORE=f"s3://{bucket}/store", **server.environment(proxy.url))
        flags = ("--dataset", "phantom", "--root", f"s3://{bucket}/phantom", *SMALL_COMMITS)
        for attempt in range(4):
            finished = user.run_job("extract", *flags, *(("--retry-failed",) if attempt else ()))
            if finished.status == 0 and "failed," not in finished.out:
                break
        assert proxy.struck, "the faults were met"
        print(f"{len(proxy.struck)} faults in {attempt + 1} runs")  # noqa: T201 - the test's own report
        proxy.expect()
        assert_whole(user, reference, server.lance_options())
        user.leave()
