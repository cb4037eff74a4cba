"""Time the fitting of many heads on the same bags: packs, a single head, a plain loop, and the released code's method.

(one) a pack of one head; (plain) a PyTorch loop, one head after another, with float32 features, heads spread over
single-threaded processes, the fastest way to run many loops on a CPU; (reference) the same, with train and validation
scored again each epoch and 100 thresholds tried on both, as in the method's released code; (packed) one pack, and packs
in parallel single-threaded processes, as Ray Tune places them on CPU cores. Ray's start is not included. Packs are
fitted to the end with the search's own early stopping; a loop is timed for some heads and epochs, and its total is
extrapolated from the epochs that each head of the pack took.
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
    best_seconds,
    compare_rates,
    plural,
    run_in_processes,
)
from tilebank.bench.parts import BenchSizes
from tilebank.bench.search.plain_loop import fit_plain
from tilebank.bench.search.random_bags import VAL_SHARE, VIEWS_A_BREAST, random_splits
from tilebank.encoders.throughput import device_for, peak_flops_per_s
from tilebank.evaluation.metrics import published_bacc, published_spec_at_sens, roc_auc
from tilebank.mil.bags.bags import BagBatch, default_device
from tilebank.mil.fitting.fit import FitConfig, FittedHead, TrialConfig, fit_heads
from tilebank.mil.heads.dual_stream import DualStreamConfig

BARRIER_S = 600  # longest wait for the other processes to start
COPIED_MB = 512  # size of the copy that measures memory bandwidth


@dataclass(frozen=True)
class _FitRequest:
    """Heads by their seeds, and the method to fit them. Processes with the same barrier start together."""

    method: str
    seeds: tuple[int, ...]
    fit: FitConfig
    sizes: BenchSizes
    barrier: Barrier


@dataclass(frozen=True)
class _FitFigures:
    """Seconds per epoch while all heads are active, total seconds, epochs by head, peak memory in MB."""

    epoch_s: float
    whole_s: float
    epochs: tuple[int, ...]
    peak_mb: float


def bench_search(bench: Bench) -> PartResult:
    """Seconds per epoch and in total by each method, with peak memory and hardware limits of the packs."""
    sizes, cores = bench.sizes, bench.cores
    seeds, whole = tuple(range(sizes.heads)), bench.settings.search.fit
    some = FitConfig(max_epochs=sizes.epochs, patience=sizes.epochs)
    one = _timed("packed", [(0,)], some, sizes=sizes, threads=cores)
    packs = {f"packed, {plural(cores, 'thread')}": _timed("packed", [seeds], whole, sizes=sizes, threads=cores)}
    side = sizes.packs if sizes.packs <= min(cores, sizes.heads) else 1
    threads = 1 if side > 1 else cores
    where = f"{side} processes" if side > 1 else "1 process"
    if side > 1:
        packs[f"{side} packs, 1 thread each"] = _timed(
            "packed", _spread_over(seeds, side), whole, sizes=sizes, threads=1
        )
    epochs = next(iter(packs.values())).epochs
    timed = _spread_over(seeds[: sizes.loop_heads], min(side, sizes.loop_heads))
    loops = {
        f"{method}, {where}": _as_loop(_timed(method, timed, some, sizes=sizes, threads=threads), epochs=epochs)
        for method in ("plain", "reference")
    }
    methods = {"one head": one} | loops | packs
    rows = [row for name in loops for row in _rows(methods, reference=name)]
    rows += _bounds(methods, sizes=sizes)
    bags = f"{sizes.breasts:,} breasts, {_tiles_of(sizes):,} tiles of {sizes.dim} in float16"
    how = (
        f"{sizes.heads} heads, {bags}; {min(epochs)} to {max(epochs)} epochs a head; loops timed for"
        f" {plural(min(sizes.loop_heads, sizes.heads), 'head')} and {sizes.epochs} epochs, their totals extrapolated"
    )
    return PartResult(tuple(rows), how)


def _rows(methods: dict[str, _FitFigures], *, reference: str) -> list[BenchRow]:
    """Heads fitted per second by each method, relative to one of the loops."""
    variants = [
        (
            name,
            len(one.epochs) / one.whole_s,
            f"{one.whole_s:.1f} s in total, {1000 * one.epoch_s:.0f} ms per epoch of all",
        )
        for name, one in methods.items()
        if name != "one head"
    ]
    return compare_rates(f"search, to {reference.partition(',')[0]}", variants, unit="heads/s", reference=reference)


def _bounds(methods: dict[str, _FitFigures], *, sizes: BenchSizes) -> list[BenchRow]:
    """An epoch of one head and of all, peak memory of each method, and the packs relative to hardware limits."""
    packed = {name: one for name, one in methods.items() if "pack" in name}
    best = min(packed.values(), key=lambda one: one.epoch_s)
    epochs = [(name, 1000 * one.epoch_s, "") for name, one in ({"one head": methods["one head"]} | packed).items()]
    rows = compare_rates("one epoch of all heads", epochs, unit="ms", reference="one head")
    memory = [(name, one.peak_mb, "the largest process, bags included") for name, one in methods.items()]
    rows += compare_rates("peak memory", memory, unit="MB", reference="one head")
    vectors = (_tiles_of(sizes) + VIEWS_A_BREAST * sizes.breasts) * (1 + VAL_SHARE)
    read = vectors * sizes.dim * np.dtype(np.float16).itemsize / best.epoch_s
    copied = _copied_bytes_per_s()
    hidden = DualStreamConfig().hidden
    # Forward and the weights' gradient on train, forward on validation, of the first layer: 2 operations a product.
    products = 2 * sizes.dim * hidden * sizes.heads * vectors * (2 + VAL_SHARE) / (1 + VAL_SHARE)
    peak = peak_flops_per_s(device_for("auto"), "float32")
    rows += compare_rates(
        "packed, against memory bandwidth",
        [("copying memory", copied / 1e6, "read and written"), ("features read", read / 1e6, "once an epoch")],
        unit="MB/s",
        reference="copying memory",
    )
    return rows + compare_rates(
        "packed, against matmul peak",
        [
            ("matrix product", peak / 1e9, "float32"),
            ("first layers", products / best.epoch_s / 1e9, f"{hidden} x {sizes.heads} outputs per vector"),
        ],
        unit="GFLOP/s",
        reference="matrix product",
    )


def _timed(
    method: str, shares: Sequence[tuple[int, ...]], fit: FitConfig, *, sizes: BenchSizes, threads: int
) -> _FitFigures:
    """One process for each share of the heads; the slowest counts."""
    with get_context("spawn").Manager() as manager:
        barrier = manager.Barrier(len(shares))
        requests = [_FitRequest(method, tuple(share), fit, sizes, barrier) for share in shares]
        found = run_in_processes(_fit, requests, threads=threads)
    return _FitFigures(
        epoch_s=max(one.epoch_s for one in found),
        whole_s=max(one.whole_s for one in found),
        epochs=tuple(epochs for one in found for epochs in one.epochs),
        peak_mb=max(one.peak_mb for one in found),
    )


def _spread_over(seeds: tuple[int, ...], shares: int) -> list[tuple[int, ...]]:
    return [seeds[place::shares] for place in range(shares)]


def _as_loop(timed: _FitFigures, *, epochs: tuple[int, ...]) -> _FitFigures:
    """Extrapolate a loop over some heads to all heads in as many processes."""
    each_s = timed.epoch_s / len(timed.epochs)  # of the processes at once
    return _FitFigures(each_s * len(epochs), each_s * sum(epochs), epochs, timed.peak_mb)


def _fit(request: _FitRequest) -> _FitFigures:
    """Fit in this process; the bags are made before the clock starts, and the first epoch does not count."""
    device = default_device()
    train, val = (bags.to(device) for bags in random_splits(request.sizes))
    request.barrier.wait(BARRIER_S)
    began = time.perf_counter()
    epoch_s, epochs = _METHODS[request.method](request, train=train, val=val)
    whole_s = time.perf_counter() - began
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return _FitFigures(epoch_s, whole_s, epochs, peak_mb)


def _fit_packed(request: _FitRequest, *, train: BagBatch, val: BagBatch) -> tuple[float, tuple[int, ...]]:
    marks: list[tuple[float, int]] = []  # end of an epoch, heads active in it
    fitted: list[FittedHead] = fit_heads(
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
        fit_plain(train, val, trial=trial, config=request.fit, metric=roc_auc, rescore=rescore)
        for trial in _trials(request)
    ]
    seconds = [float(np.median(one.epoch_s[1:])) for one in fits]
    return sum(seconds), tuple(len(one.epoch_s) for one in fits)


def _scan_thresholds(scores: NDArray[np.float64], labels: NDArray[np.int64]) -> tuple[float, float, float]:
    """The metrics that the released code computes of a split in each epoch."""
    return roc_auc(scores, labels), published_spec_at_sens(scores, labels), published_bacc(scores, labels)


_METHODS: dict[str, Callable[..., tuple[float, tuple[int, ...]]]] = {
    "packed": _fit_packed,
    "plain": partial(_fit_loop, rescore=None),
    "reference": partial(_fit_loop, rescore=_scan_thresholds),
}


def _trials(request: _FitRequest) -> list[TrialConfig]:
    return [TrialConfig(seed=seed) for seed in request.seeds]


def _copied_bytes_per_s() -> float:
    """Bytes read and written per second by numpy's copy, on one thread."""
    source = np.ones(COPIED_MB << 20, np.uint8)
    target = np.empty_like(source)
    return 2 * source.nbytes / best_seconds(lambda: np.copyto(target, source), repeats=3)


def _tiles_of(sizes: BenchSizes) -> int:
    return sizes.breasts * sizes.tiles_a_breast
