"""Memory of this process and of all that come from it, by what they are: looked at now and then, in a thread.

Reads Linux's /proc and needs nothing else; elsewhere there is nothing to see. Knows Ray's and this package's processes
by their titles; processes of a Ray that runs elsewhere (RAY_ADDRESS) come from no process here, and are not seen.
"""

import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tilebank.bench.background_sampler import run_in_background
from tilebank.bench.measure import BenchRow, compare_rates, plural

PROC = Path("/proc")
LOOK_S = 0.5  # some milliseconds of work each
DRIVER, OTHER = "driver", "the rest of Ray"
KINDS = {  # by what stands in the title, or ends the program's name
    "EncodeImages": "encoder worker",
    "read_images": "reading worker",
    "isolation import serve": "its child, which decodes",
}
PROGRAMS = {"raylet": "raylet, with the object store", "gcs_server": "GCS"}


@dataclass(frozen=True)
class MemorySample:
    """One process at one time, in bytes. resident: its pages in memory; own: those that it shares with no other."""

    pid: int
    parent: int
    title: str
    resident: int
    own: int


class MemoryTracker:
    """The most that each process held, and the course of the driver. Its own size hardly grows with time."""

    def __init__(self) -> None:
        self._driver: list[tuple[float, int, int]] = []  # when, resident, own
        self._kinds: dict[int, str] = {}
        self._peaks: dict[int, tuple[int, int]] = {}
        self._at_once: dict[str, int] = {}

    def add(self, samples: Sequence[MemorySample], *, when_s: float) -> None:
        """Take in what was seen at one moment."""
        now: dict[str, int] = {}
        for one in samples:
            kind = self._kind_of(one)
            self._peaks[one.pid] = max(self._peaks.get(one.pid, (0, 0)), (one.resident, one.own))
            now[kind] = now.get(kind, 0) + one.own
            if kind == DRIVER:
                self._driver.append((when_s, one.resident, one.own))
        self._at_once |= {kind: max(size, self._at_once.get(kind, 0)) for kind, size in now.items()}

    def peak_rows(self, *, what: str) -> list[BenchRow]:
        """One row a kind of process: the most that one of them held, in MB, against the driver."""
        variants = []
        for kind in (DRIVER, *KINDS.values(), *PROGRAMS.values(), OTHER):
            peaks = [peak for pid, peak in self._peaks.items() if self._kinds[pid] == kind]
            if peaks:
                resident, own = max(peaks)
                note = f"{_mb(own):,.0f} MB of it unshared"
                if len(peaks) > 1:
                    note = (
                        f"{note}; {len(peaks)} processes, {_mb(self._at_once.get(kind, own)):,.0f} MB unshared at once"
                    )
                variants.append((kind, _mb(resident), note))
        return compare_rates(what, variants, unit="MB", reference=DRIVER) if variants else []

    def driver_rows(self, *, what: str, early: tuple[float, int]) -> list[BenchRow]:
        """The driver's memory at an early moment (when, images done by then) and at the end, in MB."""
        when_s, images = early
        if not self._driver:
            return []
        then = min(self._driver, key=lambda one: abs(one[0] - when_s))
        name = f"after {plural(images, 'image')}"
        variants = [
            (variant, _mb(resident), f"{_mb(own):,.0f} MB of it unshared")
            for variant, (_, resident, own) in ((name, then), ("at the end", self._driver[-1]))
        ]
        return compare_rates(what, variants, unit="MB", reference=name)

    def _kind_of(self, one: MemorySample) -> str:
        """What the process was at any time: a worker of Ray carries the title of its task only while it has one."""
        if self._kinds.get(one.pid, OTHER) == OTHER:
            program = PROGRAMS.get(one.title.split(" ")[0].rpartition("/")[2], OTHER)
            named = next((kind for part, kind in KINDS.items() if part in one.title), program)
            self._kinds[one.pid] = DRIVER if one.pid == os.getpid() else named
        return self._kinds[one.pid]


@contextmanager
def track_memory() -> Iterator[MemoryTracker]:
    """Meanwhile look at this process and its descendants."""
    watch = MemoryTracker()

    def look(ended: threading.Event) -> None:
        while True:
            watch.add(samples_now(os.getpid()), when_s=time.perf_counter())
            if ended.wait(LOOK_S):
                return

    with run_in_background(look):
        yield watch


def samples_now(root: int) -> list[MemorySample]:
    """The process `root` and its descendants; empty where there is no /proc."""
    everyone = [int(path.name) for path in PROC.iterdir() if path.name.isdigit()] if PROC.is_dir() else []
    found = {one.pid: one for one in map(_sample, everyone) if one is not None}
    return [one for one in found.values() if _descends(one, root, among=found)]


def _sample(pid: int) -> MemorySample | None:
    """One process, or None where it has ended, or is none that has memory of its own."""
    try:
        status = (PROC / str(pid) / "status").read_text(errors="replace")
        title = (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    if "VmRSS" not in fields:
        return None
    resident, own = (1024 * int(fields[name].split()[0]) for name in ("VmRSS", "RssAnon"))
    return MemorySample(pid, int(fields["PPid"]), title, resident, own)


def _descends(one: MemorySample, root: int, *, among: dict[int, MemorySample]) -> bool:
    while one.pid != root:
        if one.parent not in among:
            return False
        one = among[one.parent]
    return True


def _mb(size: float) -> float:
    return size / 1e6
