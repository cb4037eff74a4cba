"""Shared tools of the benchmarks: sizes, result rows, best-of-N timing, processes with a fixed number of threads."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from multiprocessing import get_context
from typing import TypeVar

import cv2

from tilebank.encoders.spec import EncoderConfig
from tilebank.errors import ConfigError
from tilebank.flows.settings.settings import Settings

Request = TypeVar("Request")
Result = TypeVar("Result")

# torch and numpy read these once, at import, so they must be set before a process starts.
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def _size(default: int, what: str) -> int:
    """A field of BenchSizes: its default and its help text."""
    size: int = field(default=default, metadata={"what": what})
    return size


# Smallest allowed sizes other than 1. Validation takes a seventh of the breasts and needs both classes.
LEAST = {"images": 0, "loop_images": 0, "packs": 2, "epochs": 2, "breasts": 14, "tiles_a_breast": 2, "bags": 2}
LEAST |= {"test_bags": 2}


@dataclass(frozen=True)
class BenchSizes:
    """Sizes of the measurements; the defaults take less than five minutes on two cores."""

    exams: int = _size(16, "exams in the phantom study, 4 images each")
    images: int = _size(0, "images in the phantom study, in whole exams, instead of --exams; 0: use --exams")
    loop_images: int = _size(0, "images for the extractions without Ray; 0: all")
    rows: int = _size(2048, "rows of an image")
    columns: int = _size(1536, "columns of an image")
    jpeg2000: bool = field(default=False, metadata={"what": "write every file as JPEG 2000, not every other one"})
    read_images: int = _size(16, "images for read")
    tiles: int = _size(32, "tiles for encode")
    commits: int = _size(8, "commits for store")
    vectors: int = _size(100_000, "vectors for tables")
    breasts: int = _size(300, "breasts for search")
    tiles_a_breast: int = _size(60, "mean number of tiles per breast for search")
    dim: int = _size(384, "dimension of the vectors for search")
    heads: int = _size(36, "heads for search")
    loop_heads: int = _size(4, "heads that search fits in a plain loop")
    packs: int = _size(2, "packs fitted at the same time, if there are enough cores")
    epochs: int = _size(8, "epochs for heads, and for the plain loops of search")
    bags: int = _size(1600, "bags for heads")
    test_bags: int = _size(400, "bags per split for assumptions")
    seeds: int = _size(3, "seeds per head for assumptions")
    repeats: int = _size(3, "runs of read, encode, store and tables; the best one counts")

    def __post_init__(self) -> None:
        for each in fields(self):
            size, least = getattr(self, each.name), LEAST.get(each.name, 1)
            if size < least and not isinstance(size, bool):
                raise ConfigError(f"bench: {each.name} is {size}; use at least {least}")


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
