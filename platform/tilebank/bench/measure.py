"""How a benchmark measures: its rows and sizes, the best of several runs, processes with a set number of threads.

Knows nothing of what is measured.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from multiprocessing import get_context
from typing import TypeVar

import cv2

from tilebank.encoders.contract import EncoderConfig
from tilebank.errors import ConfigError
from tilebank.flows.settings.settings import Settings

Request = TypeVar("Request")
Result = TypeVar("Result")

# torch and numpy read these once, when they are imported: they must stand before a process starts.
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def _size(default: int, what: str) -> int:
    """A field of BenchSizes: its default, and what is said of it in a job's help."""
    size: int = field(default=default, metadata={"what": what})
    return size


# The least of a size, where it is not 1. Val takes a seventh of the breasts, and needs both classes.
LEAST = {"images": 0, "loop_images": 0, "packs": 2, "epochs": 2, "breasts": 14, "tiles_a_breast": 2, "bags": 2}
LEAST |= {"test_bags": 2}


@dataclass(frozen=True)
class BenchSizes:
    """How much is measured; the defaults take less than five minutes on two cores."""

    exams: int = _size(16, "exams in the phantom study, 4 images each")
    images: int = _size(0, "images in the phantom study, in whole exams, in place of --exams; 0: as many as those have")
    loop_images: int = _size(0, "images for what extract runs beside Ray, one after another; 0: all")
    rows: int = _size(2048, "rows of an image")
    columns: int = _size(1536, "columns of an image")
    jpeg2000: bool = field(default=False, metadata={"what": "every file of the study JPEG 2000, not every other"})
    read_images: int = _size(16, "images for read")
    tiles: int = _size(32, "tiles for encode")
    commits: int = _size(8, "commits for store")
    vectors: int = _size(100_000, "vectors for tables")
    breasts: int = _size(300, "breasts for search")
    tiles_a_breast: int = _size(60, "tiles of a breast for search, on average")
    dim: int = _size(384, "dimension of the vectors for search")
    heads: int = _size(36, "heads for search")
    loop_heads: int = _size(4, "heads for what search runs one after another")
    packs: int = _size(2, "packs that are fitted at the same time, where there are cores enough")
    epochs: int = _size(8, "epochs for heads, and for what search runs one after another")
    bags: int = _size(1600, "bags for heads")
    test_bags: int = _size(400, "bags of each split for assumptions")
    seeds: int = _size(3, "fits of each head for assumptions")
    repeats: int = _size(3, "runs, of which the best counts, for read, encode, store and tables")

    def __post_init__(self) -> None:
        for each in fields(self):
            size, least = getattr(self, each.name), LEAST.get(each.name, 1)
            if size < least and not isinstance(size, bool):
                raise ConfigError(f"bench: {each.name} is {size}; use at least {least}")


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
