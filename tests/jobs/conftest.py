"""Jobs as a user starts them: in this process where only words, files and the status count, else as real commands.

A command costs an interpreter and a Ray of its own, which is many seconds: it is for tests of what processes do. Each
has a home of its own, and every process of it is ended by its id.
"""

import json
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import lance
import numpy as np
import pyarrow as pa
import pytest
import ray  # noqa: F401 - brings psutil, which is imported from it
from numpy.typing import NDArray
from tests.conftest import CHECKOUT

# isort: split
import psutil

TIMEOUT_S = 150
SETTINGS = ("--set", "extraction.commit_images=4")  # of extractions that are to be caught in the middle
IMAGES = 120  # in the phantom study

IN_ONE_PROCESS = """
import json, runpy, sys
for name, *flags in json.loads(sys.argv[1]):
    sys.argv = [f"jobs/{name}.py", *flags]
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as ended:
        if ended.code:
            raise
"""


@dataclass(frozen=True)
class Finished:
    """A command that ended, with all that it wrote."""

    status: int
    out: str
    err: str


RunHere = Callable[..., Finished]


class Command:
    """A running command and the processes that it leads: all share a session, so none is lost or mistaken."""

    def __init__(self, words: tuple[str, ...], *, env: Mapping[str, str], cwd: Path, output: Path) -> None:
        self._output = output
        self._gone = False
        # Files, not pipes: a pipe stays open for as long as any of Ray's processes lives.
        with output.with_suffix(".out").open("w") as out, output.with_suffix(".err").open("w") as err:
            self._process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=env, cwd=cwd, start_new_session=True
            )

    def running(self) -> bool:
        """Whether the command itself still runs."""
        return self._process.poll() is None

    def family(self) -> list[psutil.Process]:
        """Every live process of this command's session, the command itself included.

        The session's number is safe for as long as one of them lives, and may be anybody's afterwards: so a family that
        was once found extinct is never looked for again.
        """
        if self._gone:
            return []
        ended, found = not self.running(), []
        for pid in psutil.pids():
            try:
                process = psutil.Process(pid)
                if os.getsid(pid) == self._process.pid and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (psutil.NoSuchProcess, ProcessLookupError):
                continue
        self._gone = ended and not found
        return found

    def titled(self, start: str) -> list[psutil.Process]:
        """Those of the family whose title begins with `start`."""
        return self._whose_title(lambda title: title.startswith(start))

    def titled_with(self, part: str) -> list[psutil.Process]:
        """Those of the family whose title holds `part`."""
        return self._whose_title(lambda title: part in title)

    def _whose_title(self, fits: Callable[[str], bool]) -> list[psutil.Process]:
        return whose_title(self.family(), fits)

    def kill(self) -> None:
        """SIGKILL to the command alone, as the kernel's memory killer would send it."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(timeout=10)

    def wait(self, timeout_s: float = TIMEOUT_S) -> Finished:
        """Its end, and what it wrote. Raises subprocess.TimeoutExpired, all its processes ended."""
        try:
            status = self._process.wait(timeout=timeout_s)
        finally:
            if self.running():
                self.end()
        self.family()
        texts = [self._output.with_suffix(suffix).read_text() for suffix in (".out", ".err")]
        return Finished(status, *texts)

    def end(self) -> None:
        """SIGKILL to all that is left of the family, until nothing is."""
        while family := self.family():
            for process in family:
                try:
                    process.kill()
                except psutil.NoSuchProcess:
                    continue
            psutil.wait_procs(family, timeout=10)
        self._process.wait(timeout=10)


@dataclass
class User:
    """Somebody at a shell: a home folder for Tilebank, an environment, and the commands that were started."""

    home: Path
    env: dict[str, str]
    cwd: Path = CHECKOUT
    started: list[Command] = field(default_factory=list)

    @property
    def store(self) -> str:
        """Where this user's tables are, unless told otherwise."""
        return str(self.home / "store")

    def start(self, *words: object) -> Command:
        """Start a command and do not wait."""
        output = self.home.parent / f"{self.home.name}-command-{len(self.started)}"
        command = Command(tuple(map(str, words)), env=self.env, cwd=self.cwd, output=output)
        self.started.append(command)
        return command

    def start_job(self, name: str, *flags: object) -> Command:
        """Start `python jobs/<name>.py <flags>` and do not wait."""
        return self.start(sys.executable, f"jobs/{name}.py", *flags)

    def run_job(self, name: str, *flags: object) -> Finished:
        """The same, to its end."""
        return self.start_job(name, *flags).wait()

    def run_jobs(self, *jobs: tuple[object, ...]) -> Finished:
        """Jobs (name and flags) one after another until one fails, in one process with one Ray."""
        words = json.dumps([[str(word) for word in job] for job in jobs])
        return self.start(sys.executable, "-c", IN_ONE_PROCESS, words).wait(2 * TIMEOUT_S)

    def leave(self) -> None:
        """End whatever is still running."""
        for command in self.started:
            command.end()


def whose_title(processes: Iterable[psutil.Process], fits: Callable[[str], bool]) -> list[psutil.Process]:
    """Those of the processes that live and whose title is a fitting one."""
    found = []
    for process in processes:
        try:
            if fits(" ".join(process.cmdline())):
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def user_at(home: Path, **env: str) -> User:
    """A user whose environment says nothing of Tilebank, Ray or S3 but what is given here."""
    foreign = ("TILEBANK_", "RAY_", "AWS_", "MLFLOW_")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return User(home, clean | {"TILEBANK_HOME": str(home), "OMP_NUM_THREADS": "1"} | env)


@pytest.fixture
def user(tmp_path: Path) -> Iterator[User]:
    """A user with an empty home, whose processes end with the test."""
    user = user_at(tmp_path / "home")
    yield user
    user.leave()


@pytest.fixture
def run_here(ray_session: None, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> RunHere:
    """`run_here(home, job, *flags)`: a job's script in this process, with this process's Ray.

    env: what this user's environment says besides; Ray's workers do not hear of it. cwd: where the user stands.
    """

    def run(
        home: Path, job: str, *flags: object, env: Mapping[str, str] | None = None, cwd: Path = CHECKOUT
    ) -> Finished:
        user = user_at(home, **env or {})
        for name in os.environ.keys() - user.env.keys():
            monkeypatch.delenv(name)
        for name, value in user.env.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", [f"jobs/{job}.py", *map(str, flags)])
        monkeypatch.chdir(cwd)
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(CHECKOUT / "jobs" / f"{job}.py"), run_name="__main__")
        out, err = capfd.readouterr()
        return Finished(int(ended.value.code or 0), out, err)

    return run


@dataclass(frozen=True)
class Reference:
    """The phantom study, extracted once without any disturbance."""

    instances: pa.Table
    fingerprint: str
    store: str


@pytest.fixture(scope="session")
def reference(phantom_store: Path) -> Reference:
    """What every other extraction of the phantom study must store."""
    instances = read_rows(str(phantom_store))
    assert instances["kind"].to_pylist().count("view") == IMAGES
    (fingerprint,) = set(instances["fingerprint"].to_pylist())
    return Reference(instances, fingerprint, str(phantom_store))


def read_rows(
    store: str, *, kind: str = "instances", dataset: str = "phantom", options: Mapping[str, str] | None = None
) -> pa.Table:
    """A table of the texture encoder as it stands now, in the order of its ids."""
    place = f"{store}/{kind}--{dataset}--texture.lance"
    key = "instance_id" if kind == "instances" else "image_id"
    return lance.dataset(place, storage_options=dict(options) if options else None).to_table().sort_by(key)


def assert_same_rows(found: pa.Table, wanted: pa.Table, *, but: tuple[str, ...] = ()) -> None:
    """Every instance once, every column equal, vectors to the bit; columns named in `but` are not looked at."""
    ids = found["instance_id"].to_pylist()
    assert len(ids) == len(set(ids)), "an instance is stored twice"
    assert ids == wanted["instance_id"].to_pylist()
    np.testing.assert_array_equal(vectors_of(found), vectors_of(wanted))
    assert found.drop_columns(["vector", *but]) == wanted.drop_columns(["vector", *but])


def vectors_of(table: pa.Table) -> NDArray[np.uint16]:
    """The bits of the vectors, so that not even 0 and -0 pass for equal. (N, D) uint16"""
    vectors = table["vector"].combine_chunks()
    return vectors.flatten().to_numpy().view(np.uint16).reshape(len(vectors), -1)


def stored_images(store: str) -> int:
    """How many whole images the phantom's table holds at this moment; 0 while there is no table."""
    try:
        return int(lance.dataset(f"{store}/instances--phantom--texture.lance").count_rows("kind = 'view'"))
    except (ValueError, OSError):
        return 0


def wait_until(true: Callable[[], bool], *, what: str, timeout_s: float = TIMEOUT_S, every_s: float = 0.05) -> None:
    """Return as soon as `true()` holds; fails the test when it does not in time."""
    end = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < end, f"waited {timeout_s} s in vain: {what}"
        time.sleep(every_s)
