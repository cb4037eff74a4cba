"""Run a function in a process that can die: a time and a memory limit, and a crash that costs one call.

Codecs are C libraries fed with files from anywhere. One that hangs, crashes or asks for all memory must not take a
worker of Ray with it.
"""

import atexit
import os
import pickle
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import ParamSpec, TypeVar

from tilebank.errors import ImageError

P = ParamSpec("P")
T = TypeVar("T")

START_S = 300.0  # a child makes its imports in a second or two; a machine may be very busy
READY = b"ready"
WATCH_S = 1.0  # how often a child looks whether its parent is still there


@dataclass(frozen=True)
class Limits:
    """What one image may cost: seconds of wall clock, and memory (MB) beyond what an idle process holds."""

    seconds: float = 120
    memory_mb: int = 4096

    def __post_init__(self) -> None:
        if self.seconds <= 0 or self.memory_mb < 1:
            raise ValueError("seconds is above 0 and memory_mb is at least 1")


class IsolatedProcess:
    """A child process that runs one call at a time; made at the first call, and anew after it died or was killed."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._child: subprocess.Popen[bytes] | None = None
        self._pipe: Connection | None = None
        atexit.register(self.close)

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`function(*args)`, in the child. What it raises is raised here.

        `function` is importable by name, its arguments and its result can be pickled. Raises ImageError (stage
        `decode`): Timeout, MemoryLimit, or Crash with the signal's name.
        """
        pipe = self._running(function)
        try:
            pipe.send((function, args, kwargs))
            if not pipe.poll(self._limits.seconds):
                self.close()
                reason = f"not read within {self._limits.seconds:g} s: damaged, or far too large; it was given up"
                raise ImageError("decode", reason, "Timeout")
            failed, answer = pickle.loads(pipe.recv_bytes())
        except (EOFError, ConnectionError):
            reason = f"the decoder crashed on this file ({self._cause_of_death()})"
            raise ImageError("decode", reason, "Crash") from None
        if failed:
            raise answer
        return answer  # type: ignore[no-any-return]  # what came through a pipe has lost its type

    def close(self) -> None:
        """Kill the child, if there is one."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None

    def _running(self, function: Callable[..., object]) -> Connection:
        """The pipe to a child that has made its imports: they are no image's time."""
        if self._child is None or self._pipe is None or self._child.poll() is not None:
            self.close()
            self._pipe, theirs = Pipe()
            command = [sys.executable, "-c", f"from {__name__} import serve; serve()"]
            command += [str(theirs.fileno()), str(os.getpid()), str(self._limits.memory_mb)]
            environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
            self._child = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, env=environment, start_new_session=False
            )
            theirs.close()
            self._pipe.send(function)
            if not self._pipe.poll(START_S) or self._pipe.recv_bytes() != READY:
                self.close()
                raise ImageError("decode", f"the reading process did not start within {START_S:g} s", "Start")
        return self._pipe

    def _cause_of_death(self) -> str:
        status = self._child.wait() if self._child is not None else 0
        self.close()
        return signal.Signals(-status).name if status < 0 else f"exit status {status}"


@cache
def isolated(limits: Limits) -> IsolatedProcess:
    """The one child of this process under these limits."""
    return IsolatedProcess(limits)


def serve() -> None:
    """The child's life: take a call, answer it, until the parent is gone. Its arguments are in `sys.argv`."""
    pipe, parent, memory_mb = Connection(int(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3])
    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()
    try:
        pipe.recv()  # a function: its module is imported to know it
        _limit_memory(memory_mb)
        pipe.send_bytes(READY)
        while True:
            function, args, kwargs = pipe.recv()
            pipe.send_bytes(_answer(function, args, kwargs))
    except (EOFError, ConnectionError):
        return


def _answer(function: Callable[..., object], args: tuple[object, ...], kwargs: dict[str, object]) -> bytes:
    try:
        answer = (False, function(*args, **kwargs))
        return pickle.dumps(answer, protocol=pickle.HIGHEST_PROTOCOL)
    except MemoryError:
        reason = "more memory is needed than extraction.image_memory_mb allows: damaged, or far too large"
        return pickle.dumps((True, ImageError("decode", reason, "MemoryLimit")))
    except Exception as error:  # noqa: BLE001 - handed to the caller, whose error it is
        return pickle.dumps((True, error))


def _limit_memory(memory_mb: int) -> None:
    with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123 - a kernel file
        held = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + memory_mb * 2**20,) * 2)


def _die_with(parent: int) -> None:
    """A child whose call hangs does not see its parent's end by the pipe."""
    while os.getppid() == parent:
        time.sleep(WATCH_S)
    os._exit(1)
