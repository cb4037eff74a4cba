"""Shared tools of the benchmarks: sizes, result rows, best-of-N timing, processes with a fixed number of threads."""

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
from tilebank.encoders.contract import EncoderConfig
from tilebank.flows.settings.settings import Settings

Request = TypeVar("Request")
Result = TypeVar("Result")

# torch and numpy read these once, at import, so they must be set before a process starts.
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class BenchRow:
    """One variant of one measurement. `ratio`: its rate divided by that of the variant `reference`."""

    what: str
    variant: str
    rate: float
    unit: str
    ratio: float
    reference: str
    note: str = ""


@dataclass(frozen=True)
class PartResult:
    """The rows of one part, and on what, how and how often they were measured."""

    rows: tuple[BenchRow, ...]
    how: str


@dataclass(frozen=True)
class Bench:
    """Input of a part: settings rooted in a temporary folder of this run, sizes, and the number of cores.

    encoders: the encoders that `encode` times, on `device` (auto, cuda or cpu).
    """

    settings: Settings
    sizes: BenchSizes
    cores: int
    encoders: tuple[EncoderConfig, ...]
    device: str


def compare_rates(
    what: str, variants: Sequence[tuple[str, float, str]], *, unit: str, reference: str
) -> list[BenchRow]:
    """Rows for each (variant, rate, note), with the ratio to the variant `reference`."""
    base = next(rate for variant, rate, _ in variants if variant == reference)
    return [BenchRow(what, variant, rate, unit, rate / base, reference, note) for variant, rate, note in variants]


def plural(number: int, noun: str) -> str:
    """`1 thread`, `2 threads`."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def best_seconds(work: Callable[[], object], *, repeats: int) -> float:
    """Seconds of the fastest of `repeats` runs, the one least disturbed by other processes."""
    return min(_timed_s(work) for _ in range(repeats))


def run_in_processes(
    function: Callable[[Request], Result], requests: Sequence[Request], *, threads: int
) -> list[Result]:
    """Run `function` on all requests at once, each in a new process with `threads` threads.

    Processes are spawned, not forked: threads of torch and pyarrow do not survive a fork.
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
    """Set environment variables for processes started in the block."""
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
