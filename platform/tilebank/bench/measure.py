"""How a benchmark measures: its rows and sizes, the best of several runs, processes with a set number of threads.

Knows nothing of what is measured.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from typing import TypeVar

import cv2

from tilebank.bench.parts import BenchSizes
from tilebank.encoders.spec import EncoderConfig
from tilebank.flows.settings.settings import Settings

Request = TypeVar("Request")
Result = TypeVar("Result")

# torch and numpy read these once, when they are imported: they must stand before a process starts.
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class BenchRow:
    """One variant of one measurement. `ratio` is that of its rate to the variant `reference`, or a share of it."""

    what: str
    variant: str
    rate: float
    unit: str
    ratio: float
    reference: str
    note: str = ""


@dataclass(frozen=True)
class PartResult:
    """The rows of one part, and what they were measured on, how, and how often."""

    rows: tuple[BenchRow, ...]
    how: str


@dataclass(frozen=True)
class Bench:
    """What a part is told: settings whose roots are a folder of this run's own, sizes, and the cores there are.

    encoders: those that `encode` times, on `device` (auto, cuda or cpu).
    """

    settings: Settings
    sizes: BenchSizes
    cores: int
    encoders: tuple[EncoderConfig, ...]
    device: str


def compared(what: str, variants: Sequence[tuple[str, float, str]], *, unit: str, reference: str) -> list[BenchRow]:
    """Rows of (variant, rate, note), each with its ratio to the variant `reference`."""
    base = next(rate for variant, rate, _ in variants if variant == reference)
    return [BenchRow(what, variant, rate, unit, rate / base, reference, note) for variant, rate, note in variants]


def counted(number: int, noun: str) -> str:
    """`1 thread`, `2 threads`."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def best_s(work: Callable[[], object], *, repeats: int) -> float:
    """The shortest of `repeats` runs, in seconds: what the work takes when nothing else is in its way."""
    return min(_timed_s(work) for _ in range(repeats))


def in_processes(function: Callable[[Request], Result], requests: Sequence[Request], *, threads: int) -> list[Result]:
    """`function` of every request, each at once in a new process that computes with `threads` threads.

    Spawned, not forked: torch's and pyarrow's threads do not survive a fork.
    """
    with (
        _environment(dict.fromkeys(_THREADS, str(threads))),
        ProcessPoolExecutor(
            len(requests), mp_context=get_context("spawn"), initializer=cv2.setNumThreads, initargs=(threads,)
        ) as pool,
    ):
        return list(pool.map(function, requests))


def _timed_s(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Environment variables that processes started meanwhile inherit."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
