"""Sample the memory of this process and its descendants in a background thread, by kind of process.

Reads Linux's /proc; on other systems there are no samples. Ray's and this package's processes are recognised by their
titles. Processes of a Ray cluster started elsewhere (RAY_ADDRESS) are not descendants and are not seen.
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
LOOK_S = 0.5  # each sample takes some milliseconds
DRIVER, OTHER = "driver", "other Ray processes"
KINDS = {  # by a part of the process title, or by the program's name
    "EncodeImages": "encoder worker",
    "read_images": "reading worker",
    "isolation import serve": "decoding child process",
}
PROGRAMS = {"raylet": "raylet and object store", "gcs_server": "GCS"}


@dataclass(frozen=True)
class MemorySample:
    """Memory of one process at one time, in bytes. resident: resident set; own: unshared part of it."""

    pid: int
    parent: int
    title: str
    resident: int
    own: int


class MemoryTracker:
    """Peak memory of every process, and the memory of the driver over time."""

    def __init__(self) -> None:
        self._driver: list[tuple[float, int, int]] = []  # when, resident, own
        self._kinds: dict[int, str] = {}
        self._peaks: dict[int, tuple[int, int]] = {}
        self._at_once: dict[str, int] = {}

    def add(self, samples: Sequence[MemorySample], *, when_s: float) -> None:
        """Add the samples of one moment."""
        now: dict[str, int] = {}
        for one in samples:
            kind = self._kind_of(one)
            self._peaks[one.pid] = max(self._peaks.get(one.pid, (0, 0)), (one.resident, one.own))
            now[kind] = now.get(kind, 0) + one.own
            if kind == DRIVER:
                self._driver.append((when_s, one.resident, one.own))
        self._at_once |= {kind: max(size, self._at_once.get(kind, 0)) for kind, size in now.items()}

    def peak_rows(self, *, what: str) -> list[BenchRow]:
        """One row per kind of process: the peak of its largest process in MB, relative to the driver."""
        variants = []
        for kind in (DRIVER, *KINDS.values(), *PROGRAMS.values(), OTHER):
            peaks = [peak for pid, peak in self._peaks.items() if self._kinds[pid] == kind]
            if peaks:
                resident, own = max(peaks)
                note = f"{_mb(own):,.0f} MB unshared"
                if len(peaks) > 1:
                    note = (
                        f"{note}; {len(peaks)} processes, {_mb(self._at_once.get(kind, own)):,.0f} MB unshared at once"
                    )
                variants.append((kind, _mb(resident), note))
        return compare_rates(what, variants, unit="MB", reference=DRIVER) if variants else []

    def driver_rows(self, *, what: str, early: tuple[float, int]) -> list[BenchRow]:
        """The driver's memory in MB early on, at (time, images done), and at the end."""
        when_s, images = early
        if not self._driver:
            return []
        then = min(self._driver, key=lambda one: abs(one[0] - when_s))
        name = f"after {plural(images, 'image')}"
        variants = [
            (variant, _mb(resident), f"{_mb(own):,.0f} MB unshared")
            for variant, (_, resident, own) in ((name, then), ("at the end", self._driver[-1]))
        ]
        return compare_rates(what, variants, unit="MB", reference=name)

    def _kind_of(self, one: MemorySample) -> str:
        """The kind that the process ever had: a Ray worker has the title of its task only while it runs one."""
        if self._kinds.get(one.pid, OTHER) == OTHER:
            program = PROGRAMS.get(one.title.split(" ")[0].rpartition("/")[2], OTHER)
            named = next((kind for part, kind in KINDS.items() if part in one.title), program)
            self._kinds[one.pid] = DRIVER if one.pid == os.getpid() else named
        return self._kinds[one.pid]


@contextmanager
def track_memory() -> Iterator[MemoryTracker]:
    """Sample this process and its descendants during the block."""
    tracker = MemoryTracker()

    def sample(ended: threading.Event) -> None:
        while True:
            tracker.add(samples_now(os.getpid()), when_s=time.perf_counter())
            if ended.wait(LOOK_S):
                return

    with run_in_background(sample):
        yield tracker


def samples_now(root: int) -> list[MemorySample]:
    """The process `root` and its descendants; empty where there is no /proc."""
    everyone = [int(path.name) for path in PROC.iterdir() if path.name.isdigit()] if PROC.is_dir() else []
    found = {one.pid: one for one in map(_sample, everyone) if one is not None}
    return [one for one in found.values() if _descends(one, root, among=found)]


def _sample(pid: int) -> MemorySample | None:
    """One process, or None if it has ended or has no memory of its own."""
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
