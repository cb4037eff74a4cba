"""Timings of fitting many heads: one pack, packs side by side, one head after another. Same bags, same epochs.

Packs side by side run in plain processes of one thread each, as Ray Tune would place them on CPU cores; what Ray takes
to start is no part of an epoch, and is left out.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from threading import Barrier

import numpy as np
from numpy.typing import NDArray

from tilebank.evaluation.metrics import roc_auc
from tilebank.flows.bench_measure import Bench, BenchSizes, PartResult, compared, counted, in_processes
from tilebank.mil.bags import BagBatch, default_device
from tilebank.mil.fit import FitConfig, TrialConfig, fit_population
from tilebank.mil.heads import HeadConfig

DIMS = (128, 1536)
VIEWS_A_BREAST = 2
VAL_SHARE = 1 / 7  # of the breasts that are fitted: 10 % against 70 %
GATE_S = 120  # longest wait for a process that does not come


@dataclass(frozen=True)
class _FitRequest:
    """Packs to fit one after the other, at each dimension. Who shares a gate starts each dimension together."""

    packs: tuple[tuple[int, ...], ...]
    head: HeadConfig
    sizes: BenchSizes
    gate: Barrier


def bench_search(bench: Bench) -> PartResult:
    """Heads x epochs in a second at two dimensions, for the same heads in several arrangements."""
    sizes, cores = bench.sizes, bench.cores
    seeds = list(range(sizes.heads))
    threads = counted(cores, "thread")
    plain = {f"one by one, {threads}": _epoch_s(bench, [_singly(seeds)], threads=cores)}
    packs = {f"1 pack, {threads}": _epoch_s(bench, [[tuple(seeds)]], threads=cores)}
    if sizes.packs <= min(cores, sizes.heads):
        shares = [seeds[place :: sizes.packs] for place in range(sizes.packs)]
        processes = f"{sizes.packs} processes"
        plain[f"one by one, {processes}"] = _epoch_s(bench, [_singly(share) for share in shares], threads=1)
        packs[f"{sizes.packs} packs, {processes}"] = _epoch_s(bench, [[tuple(share)] for share in shares], threads=1)
    rows = []
    for place, dim in enumerate(DIMS):
        fastest = min(plain, key=lambda name: plain[name][place])
        variants = [
            (name, sizes.heads / seconds[place], f"{1000 * seconds[place]:.0f} ms an epoch of all")
            for name, seconds in (plain | packs).items()
        ]
        rows += compared(f"search D={dim}", variants, unit="heads x epochs/s", reference=fastest)
    bags = f"{sizes.breasts} breasts x ~{sizes.tiles_a_breast} tiles"
    how = f"{sizes.heads} heads, {bags}; median of {sizes.epochs - 1} epochs a fit; processes of 1 thread each"
    return PartResult(tuple(rows), how)


def _singly(seeds: Sequence[int]) -> list[tuple[int, ...]]:
    """Each head as a pack of its own."""
    return [(seed,) for seed in seeds]


def _epoch_s(bench: Bench, shares: Sequence[Sequence[tuple[int, ...]]], *, threads: int) -> list[float]:
    """Seconds for one epoch of all heads, by dimension: a process for each share of the packs, the slowest counts."""
    with get_context("spawn").Manager() as manager:
        gate = manager.Barrier(len(shares))
        requests = [_FitRequest(tuple(share), bench.settings.head, bench.sizes, gate) for share in shares]
        return [max(seconds) for seconds in zip(*in_processes(_fit, requests, threads=threads), strict=True)]


def _fit(request: _FitRequest) -> list[float]:
    """Seconds for one epoch of all the packs, by dimension."""
    device = default_device()
    seconds = []
    for dim in DIMS:
        train, val = (bags.to(device) for bags in _splits(request.sizes, dim=dim))
        request.gate.wait(GATE_S)
        seconds.append(sum(_fit_pack(pack, request, train=train, val=val) for pack in request.packs))
    return seconds


def _fit_pack(pack: Sequence[int], request: _FitRequest, *, train: BagBatch, val: BagBatch) -> float:
    """Seconds an epoch of one pack, none stopping early. The first epoch, with what goes before it, is not counted."""
    epochs = request.sizes.epochs
    marks: list[float] = []
    fit_population(
        train,
        val,
        head=request.head,
        trials=[TrialConfig(seed=seed) for seed in pack],
        config=FitConfig(max_epochs=epochs, patience=epochs),
        metric=roc_auc,
        progress=lambda _: marks.append(time.perf_counter()),
    )
    return float(np.median(np.diff(marks)))


def _splits(sizes: BenchSizes, *, dim: int) -> tuple[BagBatch, BagBatch]:
    rng = np.random.default_rng(dim)
    return (
        _random_bags(rng, breasts=sizes.breasts, tiles=sizes.tiles_a_breast, dim=dim),
        _random_bags(rng, breasts=max(2, round(sizes.breasts * VAL_SHARE)), tiles=sizes.tiles_a_breast, dim=dim),
    )


def _random_bags(rng: np.random.Generator, *, breasts: int, tiles: int, dim: int) -> BagBatch:
    """Ragged breasts of half to one and a half times `tiles`, two views each, both labels in turn."""
    view_offsets = np.arange(0, VIEWS_A_BREAST * breasts + 1, VIEWS_A_BREAST)
    tile_offsets = np.concatenate([[0], np.cumsum(rng.integers(tiles // 2, tiles + tiles // 2 + 1, breasts))])
    return BagBatch.from_arrays(
        view_features=_random_vectors(rng, rows=int(view_offsets[-1]), dim=dim),
        view_offsets=view_offsets,
        tile_features=_random_vectors(rng, rows=int(tile_offsets[-1]), dim=dim),
        tile_offsets=tile_offsets,
        breast_ids=[f"breast-{place}" for place in range(breasts)],
        labels=np.arange(breasts) % 2,
    )


def _random_vectors(rng: np.random.Generator, *, rows: int, dim: int) -> NDArray[np.float16]:
    return rng.standard_normal((rows, dim), dtype=np.float32).astype(np.float16)
