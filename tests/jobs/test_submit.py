"""The README's way to a cluster: `ray start`, then `ray job submit` of a checkout that the nodes do not have."""

import os
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.conftest import CHECKOUT
from tests.jobs.conftest import Finished, User, read_rows, user_at, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.long]

SENT = ("conf", "infra", "jobs", "platform", "pyproject.toml", "README.md")
# Whoever imports the stages leaves who it is (a worker, or the job itself) and where they were imported from.
TRACE = """
import os, pathlib, sys
pathlib.Path({folder!r}, str(os.getpid())).write_text(f"{{sys.argv[0]}}\\n{{__file__}}")
"""


@dataclass(frozen=True)
class Cluster:
    """A head node of its own ports and token, and somebody with a copy of the checkout who submits to it."""

    user: User
    address: str
    trace: Path

    def submit(self, *words: str) -> Finished:
        """`ray job submit ... -- words`, to its end."""
        runtime = ("--runtime-env", "infra/runtime_env.yaml")
        return self.user.start("ray", "job", "submit", "--address", self.address, *runtime, "--", *words).wait()


@pytest.fixture(scope="module")
def cluster(phantom_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Started as the README says; ended by the ids of its processes."""
    folder = tmp_path_factory.mktemp("cluster")
    home, copy, trace = folder / "home", folder / "copy", folder / "trace"
    home.mkdir()
    trace.mkdir()
    (home / "phantom").symlink_to(phantom_root)
    copy_checkout(copy, trace=trace)
    token = folder / "token"
    token.write_text(secrets.token_hex(32))
    user = user_at(
        home,
        PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        RAY_AUTH_MODE="token",
        RAY_AUTH_TOKEN_PATH=str(token),
    )
    user.cwd = copy
    port, dashboard, agent, client = free_ports(4)
    sockets = tempfile.mkdtemp(prefix="tilebank-ray-", dir="/tmp")  # a socket's path holds 107 letters at most
    try:
        head = user.start(
            *("ray", "start", "--head", "--block", "--num-cpus", 2, "--node-ip-address", "127.0.0.1"),
            *("--port", port, "--dashboard-port", dashboard, "--dashboard-agent-listen-port", agent),
            *("--ray-client-server-port", client, "--temp-dir", sockets, "--disable-usage-stats"),
        )
        wait_until(lambda: listens(dashboard) or not head.running(), what="the head node", timeout_s=60)
        assert head.running(), head.wait().err
        yield Cluster(user, f"http://127.0.0.1:{dashboard}", trace)
    finally:
        user.leave()
        shutil.rmtree(sockets)


def copy_checkout(copy: Path, *, trace: Path) -> None:
    """What is submitted, with one change: its stages leave a trace, one file a process."""
    copy.mkdir()
    for name in SENT:
        source = CHECKOUT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(source, copy / name)
    stages = copy / "platform" / "tilebank" / "flows" / "engine" / "stages.py"
    stages.write_text(stages.read_text() + TRACE.format(folder=str(trace)))


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_workers_run_the_submitted_code_and_results_outlive_the_job(cluster: Cluster) -> None:
    finished = cluster.submit("python", "jobs/extract.py", "--dataset", "phantom", "--limit", "6")
    assert finished.status == 0, finished.out + finished.err
    assert "images stored" in finished.out
    rows = read_rows(cluster.user.store)
    assert rows["kind"].to_pylist().count("view") == len(set(rows["image_id"].to_pylist())) == 6

    traces = [path.read_text().split("\n") for path in cluster.trace.iterdir()]
    workers = [place for program, place in traces if program.endswith("default_worker.py")]
    assert len(workers) >= 2, "a reading task and an encoder have left their trace"
    for _, place in traces:
        assert place.endswith("tilebank/flows/engine/stages.py")
        assert "/runtime_resources/" in place, "Ray unpacked it"
        assert not place.startswith((str(CHECKOUT), str(cluster.user.cwd))), "neither installed nor the copy itself"


def test_a_job_without_a_home_is_told_to_set_one(cluster: Cluster) -> None:
    finished = cluster.submit("env", "-u", "TILEBANK_HOME", "python", "jobs/extract.py", "--dataset", "phantom")
    said = finished.out + finished.err
    assert finished.status != 0, said
    assert "set TILEBANK_HOME" in said
    assert "outlives the job" in said
    assert "Traceback" not in said
