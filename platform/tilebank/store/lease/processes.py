"""Identify this process, and tell whether another process of this machine has ended."""

import os
import socket
import uuid
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
GONE = "ZX"  # states of a process that has ended and was not yet collected by its parent


@dataclass(frozen=True)
class Process:
    """One process. machine: a boot and a space of process ids (in another container the same ids are others).

    started: when it began, in ticks since the boot; it tells a process from a later one that was given the same id.
    """

    host: str
    machine: str
    pid: int
    started: str


def this_process() -> Process:
    """The process that asks."""
    return Process(socket.gethostname(), _machine(), os.getpid(), _started(os.getpid()))


def has_ended(process: Process) -> bool:
    """Whether it is known to have ended; False for what runs on another machine, of which nothing is known here."""
    return process.machine == _machine() and _started(process.pid) != process.started


def _machine() -> str:
    try:
        boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{(PROC / 'self/ns/pid').readlink()}"
    except OSError:  # not Linux: the hardware's address stands for the machine
        return f"{socket.gethostname()}/{uuid.getnode():x}"


def _started(pid: int) -> str:
    """When the process began, or nothing where there is none (any more)."""
    if not PROC.joinpath("self/stat").exists():
        return _started_elsewhere(pid)
    try:
        # The name, in parentheses, may hold anything; state is the field after it, the start 19 further (proc(5)).
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in GONE else fields[19]


def _started_elsewhere(pid: int) -> str:
    try:
        os.kill(pid, 0)  # asks whether it is there; sends nothing
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "running"
