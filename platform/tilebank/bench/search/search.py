"""Timings of fitting many heads on the same bags: packs, one head alone, a plain loop, the released code's way.

(one) a head by itself in a pack of one; (plain) a torch loop, one head after another, float32 features made once, the
heads dealt to processes of one thread each, which is the quickest way to have many loops on a CPU; (reference) the
same, with train and validation scored anew each epoch and 100 thresholds tried on both, as the method's released code
does; (packed) one pack, and packs side by side in processes of one thread each, as Ray Tune places them on CPU cores.
What Ray takes to start is no part of it. Packs are fitted to the end by the search's own stopping rule;
a loop is timed for some heads and epochs, and its total reckoned from the epochs that each head of the pack took.
"""

import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from threading import Barrier

import numpy as np
from numpy.typing import NDArray

from tilebank.bench.measure import (
    Bench,
    BenchRow,
    PartResult,
    best_s,
    compared,
    counted,
    in_processes,
)
from tilebank.bench.parts import BenchSizes
from tilebank.bench.search.plain_loop import fit_alone
from tilebank.bench.search.random_bags import VAL_SHARE, VIEWS_A_BREAST, random_splits
from tilebank.encoders.throughput import device_for, peak_flops_per_s
from tilebank.evaluation.metrics import published_bacc, published_spec_at_sens, roc_auc
from tilebank.mil.bags.bags import BagBatch, default_device
from tilebank.mil.fitting.fit import FitConfig, FittedHead, TrialConfig, fit_population
from tilebank.mil.heads.dual_stream import DualStreamConfig

GATE_S = 600  # longest wait for a process that does not come
COPIED_MB = 512  # what the memory's speed is measured with


@dataclass(frozen=True)
class _FitRequest:
    """Some heads by their seeds, fitted `way`: in one pack, or one after another. Who shares a gate starts together."""

    way: str
    seeds: tuple[int, ...]
    fit: FitConfig
    sizes: BenchSizes
    gate: Barrier


@dataclass(frozen=True)
class _FitFigures:
    """Seconds an epoch of all its heads while all are there, seconds in all, epochs by head, the most memory in MB."""

    epoch_s: float
    whole_s: float
    epochs: tuple[int, ...]
    peak_mb: float


def bench_search(bench: Bench) -> PartResult:
    """Seconds an epoch and seconds to the end of all heads, by each way, with memory and what bounds the packs."""
    sizes, cores = bench.sizes, bench.cores
    seeds, whole = tuple(range(sizes.heads)), bench.settings.search.fit
    some = FitConfig(max_epochs=sizes.epochs, patience=sizes.epochs)
    one = _timed("packed", [(0,)], some, sizes=sizes, threads=cores)
    packs = {f"packed, {counted(cores, 'thread')}": _timed("packed", [seeds], whole, sizes=sizes, threads=cores)}
    side = sizes.packs if sizes.packs <= min(cores, sizes.heads) else 1
    threads = 1 if side > 1 else cores
    where = f"{side} processes" if side > 1 else "1 process"
    if side > 1:
        packs[f"{side} packs, a thread each"] = _timed("packed", _dealt(seeds, side), whole, sizes=sizes, threads=1)
    epochs = next(iter(packs.values())).epochs
    timed = _dealt(seeds[: sizes.loop_heads], min(side, sizes.loop_heads))
    loops = {
        f"{way}, {where}": _as_loop(_timed(way, timed, some, sizes=sizes, threads=threads), epochs=epochs)
        for way in ("plain", "reference")
    }
    ways = {"one head": one} | loops | packs
    rows = [row for name in loops for row in _rows(ways, reference=name)]
    rows += _bounds(ways, sizes=sizes)
    bags = f"{sizes.breasts:,} breasts, {_tiles_of(sizes):,} tiles of {sizes.dim} in float16"
    how = (
        f"{sizes.heads} heads, {bags}; {min(epochs)} to {max(epochs)} epochs a head; loops timed for"
        f" {counted(min(sizes.loop_heads, sizes.heads), 'head')} and {sizes.epochs} epochs, their totals reckoned"
    )
    return PartResult(tuple(rows), how)


def _rows(ways: dict[str, _FitFigures], *, reference: str) -> list[BenchRow]:
    """Heads searched to the end in a second by each way, against one of the loops; one head is in no ratio."""
    variants = [
        (
            name,
            len(one.epochs) / one.whole_s,
            f"{one.whole_s:.1f} s in all, {1000 * one.epoch_s:.0f} ms an epoch of all",
        )
        for name, one in ways.items()
        if name != "one head"
    ]
    return compared(f"search, to {reference.partition(',')[0]}", variants, unit="heads/s", reference=reference)


def _bounds(ways: dict[str, _FitFigures], *, sizes: BenchSizes) -> list[BenchRow]:
    """An epoch of one head and of all, the most memory of each way, and the machine's limits beside the packs."""
    packed = {name: one for name, one in ways.items() if "pack" in name}
    best = min(packed.values(), key=lambda one: one.epoch_s)
    epochs = [(name, 1000 * one.epoch_s, "") for name, one in ({"one head": ways["one head"]} | packed).items()]
    rows = compared("an epoch of all heads", epochs, unit="ms", reference="one head")
    memory = [(name, one.peak_mb, "the largest process, bags included") for name, one in ways.items()]
    rows += compared("peak memory", memory, unit="MB", reference="one head")
    vectors = (_tiles_of(sizes) + VIEWS_A_BREAST * sizes.breasts) * (1 + VAL_SHARE)
    read = vectors * sizes.dim * np.dtype(np.float16).itemsize / best.epoch_s
    copied = _copied_bytes_per_s()
    hidden = DualStreamConfig().hidden
    # Forward and the weights' gradient on train, forward on validation, of the first layer: 2 operations a product.
    products = 2 * sizes.dim * hidden * sizes.heads * vectors * (2 + VAL_SHARE) / (1 + VAL_SHARE)
    peak = peak_flops_per_s(device_for("auto"), "float32")
    rows += compared(
        "packed, beside memory",
        [("copying memory", copied / 1e6, "read and written"), ("features read", read / 1e6, "once an epoch")],
        unit="MB/s",
        reference="copying memory",
    )
    return rows + compared(
        "packed, beside arithmetic",
        [
            ("matrix product", peak / 1e9, "float32"),
            ("first layers", products / best.epoch_s / 1e9, f"{hidden} x {sizes.heads} outputs a vector"),
        ],
        unit="GFLOP/s",
        reference="matrix product",
    )


def _timed(
    way: str, shares: Sequence[tuple[int, ...]], fit: FitConfig, *, sizes: BenchSizes, threads: int
) -> _FitFigures:
    """A process for each share of the heads; the slowest counts."""
    with get_context("spawn").Manager() as manager:
        gate = manager.Barrier(len(shares))
        requests = [_FitRequest(way, tuple(share), fit, sizes, gate) for share in shares]
        found = in_processes(_fit, requests, threads=threads)
    return _FitFigures(
        epoch_s=max(one.epoch_s for one in found),
        whole_s=max(one.whole_s for one in found),
        epochs=tuple(epochs for one in found for epochs in one.epochs),
        peak_mb=max(one.peak_mb for one in found),
    )


def _dealt(seeds: tuple[int, ...], shares: int) -> list[tuple[int, ...]]:
    return [seeds[place::shares] for place in range(shares)]


def _as_loop(timed: _FitFigures, *, epochs: tuple[int, ...]) -> _FitFigures:
    """What all heads would take one after another in as many processes, from the epoch of those that were timed."""
    each_s = timed.epoch_s / len(timed.epochs)  # of the processes at once
    return _FitFigures(each_s * len(epochs), each_s * sum(epochs), epochs, timed.peak_mb)


def _fit(request: _FitRequest) -> _FitFigures:
    """Fit in this process, bags made before the clock starts. The first epoch is in no seconds an epoch."""
    device = default_device()
    train, val = (bags.to(device) for bags in random_splits(request.sizes))
    request.gate.wait(GATE_S)
    began = time.perf_counter()
    epoch_s, epochs = _WAYS[request.way](request, train=train, val=val)
    whole_s = time.perf_counter() - began
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return _FitFigures(epoch_s, whole_s, epochs, peak_mb)


def _fit_packed(request: _FitRequest, *, train: BagBatch, val: BagBatch) -> tuple[float, tuple[int, ...]]:
    marks: list[tuple[float, int]] = []  # when an epoch ended, how many heads were in it
    fitted: list[FittedHead] = fit_population(
        train,
        val,
        head=DualStreamConfig(),
        trials=_trials(request),
        config=request.fit,
        progress=lambda progress: marks.append((time.perf_counter(), len(progress.active))),
    )
    ends = np.array([when for when, heads in marks if heads == len(request.seeds)])
    return float(np.median(np.diff(ends))), tuple(one.epochs for one in fitted)


def _fit_loop(
    request: _FitRequest, *, train: BagBatch, val: BagBatch, rescore: Callable[..., object] | None
) -> tuple[float, tuple[int, ...]]:
    fits = [
        fit_alone(train, val, trial=trial, config=request.fit, metric=roc_auc, rescore=rescore)
        for trial in _trials(request)
    ]
    seconds = [float(np.median(one.epoch_s[1:])) for one in fits]
    return sum(seconds), tuple(len(one.epoch_s) for one in fits)


def _scan_thresholds(scores: NDArray[np.float64], labels: NDArray[np.int64]) -> tuple[float, float, float]:
    """What the released code computes of a split each epoch."""
    return roc_auc(scores, labels), published_spec_at_sens(scores, labels), published_bacc(scores, labels)


_WAYS: dict[str, Callable[..., tuple[float, tuple[int, ...]]]] = {
    "packed": _fit_packed,
    "plain": partial(_fit_loop, rescore=None),
    "reference": partial(_fit_loop, rescore=_scan_thresholds),
}


def _trials(request: _FitRequest) -> list[TrialConfig]:
    return [TrialConfig(seed=seed) for seed in request.seeds]


def _copied_bytes_per_s() -> float:
    """Read and written, by all threads of numpy's copy: one."""
    source = np.ones(COPIED_MB << 20, np.uint8)
    target = np.empty_like(source)
    return 2 * source.nbytes / best_s(lambda: np.copyto(target, source), repeats=3)


def _tiles_of(sizes: BenchSizes) -> int:
    return sizes.breasts * sizes.tiles_a_breast
