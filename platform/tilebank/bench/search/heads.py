"""Time the fitting of each head on one set of ragged bags, with one thread and one process per head.

The set: bags of 40 to 160 instances of Gaussian noise; a positive bag has 1 to 4 instances shifted by 6 standard
deviations along one direction, a negative bag as many along an orthogonal one. If torchmil is installed (pip install
tilebank[peer]), its gated ABMIL is trained by its own Trainer on the same bags.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tilebank.bench.measure import Bench, PartResult, compare_rates, run_in_processes
from tilebank.bench.parts import BenchSizes
from tilebank.bench.search.assumptions import plain_head
from tilebank.bench.search.torchmil_abmil import TORCHMIL, TimedFit, clocks, fit_torchmil, is_torchmil_installed
from tilebank.evaluation.metrics import roc_auc
from tilebank.flows.reporting.progress import with_progress
from tilebank.mil.bags.bags import BagBatch
from tilebank.mil.fitting.fit import FitConfig, TrialConfig, fit_heads
from tilebank.mil.heads.registry import HEADS, score_bags

DIM = 384
SHIFT = 6.0
VAL_BAGS = 32  # a fit needs some; few, so that training dominates an epoch
TEST_BAGS = 400
BATCH = 32
LR = 1e-3
PACK = 8
REFERENCE = "abmil"  # the head that ratios refer to
STATUS, CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class _Request:
    head: str
    heads: int
    sizes: BenchSizes


@dataclass(frozen=True)
class _Fit:
    """Best epochs of one fit: bags per second of all heads together, and CPU time per bag and head."""

    bags_per_s: float
    cpu_ms_per_bag: float
    peak_mb: float
    parameters: int
    auc: float

    @property
    def note(self) -> str:
        """CPU time, size, memory and AUC."""
        size = f"{self.parameters:,} parameters"
        cpu = f"{self.cpu_ms_per_bag:.2f} ms CPU per bag and head"
        return f"{cpu}, {size}, +{self.peak_mb:.0f} MB, test AUC {self.auc:.3f}"


def bench_heads(bench: Bench) -> PartResult:
    """Bags per second of each head, then of packs of eight (bags x heads), relative to REFERENCE."""
    requests = [_Request(name, heads, bench.sizes) for heads in (1, PACK) for name in HEADS]
    if is_torchmil_installed():
        requests.insert(len(HEADS), _Request(TORCHMIL, 1, bench.sizes))
    fits = {}
    for request in with_progress(requests, what="heads", unit="fit", total=len(requests)):
        (fits[request.head, request.heads],) = run_in_processes(_fit, [request], threads=1)
    rows = []
    for heads, what, unit in ((1, "heads", "bags/s"), (PACK, f"heads, {PACK} in a pack", "bags x heads/s")):
        variants = [(name, fit.bags_per_s * heads, fit.note) for (name, count), fit in fits.items() if count == heads]
        rows += compare_rates(what, variants, unit=unit, reference=REFERENCE)
    bags = f"{bench.sizes.bags} bags of 40 to 160 x {DIM}, a quarter of them for packs"
    torchmil = "" if is_torchmil_installed() else f"; {TORCHMIL} is not installed"
    return PartResult(tuple(rows), f"{bags}; batch {BATCH}, 1 thread, best of {bench.sizes.epochs} epochs{torchmil}")


def _fit(request: _Request) -> _Fit:
    rng = np.random.default_rng(0)
    directions = np.linalg.qr(rng.normal(size=(DIM, 2)))[0].T  # (2, D) at right angles
    breasts = request.sizes.bags if request.heads == 1 else max(BATCH, request.sizes.bags // 4)
    train, val, test = (bags_of(rng, directions, breasts=count) for count in (breasts, VAL_BAGS, TEST_BAGS))
    before_mb = _start_of_peak_mb()
    fit: Callable[..., TimedFit] = _fit_torchmil_abmil if request.head == TORCHMIL else _fit_ours
    fitted = fit(request, train, val, test)
    assert test.labels is not None
    return _Fit(
        bags_per_s=breasts / min(fitted.epochs_s),
        cpu_ms_per_bag=1000 * min(fitted.epochs_cpu_s) / (breasts * request.heads),
        peak_mb=_peak_mb() - before_mb,
        parameters=fitted.parameters,
        auc=roc_auc(fitted.scores, test.labels.numpy().astype(np.int64)),
    )


def _fit_ours(request: _Request, train: BagBatch, val: BagBatch, test: BagBatch) -> TimedFit:
    epochs, marks = request.sizes.epochs, [clocks()]
    fitted = fit_heads(
        train,
        val,
        head=replace(plain_head(request.head), l2_normalise=True),
        trials=[TrialConfig(seed=seed, lr=LR, weight_decay=0.0) for seed in range(request.heads)],
        config=FitConfig(max_epochs=epochs, patience=epochs, batch=BATCH, class_weight="none"),
        metric=roc_auc,
        progress=lambda _: marks.append(clocks()),
    )
    head = fitted[0].head
    wall_s, cpu_s = np.diff(np.array(marks), axis=0).T
    return TimedFit(
        epochs_s=tuple(wall_s.tolist()),
        epochs_cpu_s=tuple(cpu_s.tolist()),
        parameters=sum(weights.numel() for weights in head.parameters()),
        scores=score_bags(head, test)[0],
    )


def _fit_torchmil_abmil(request: _Request, train: BagBatch, val: BagBatch, test: BagBatch) -> TimedFit:
    return fit_torchmil(train, val, test, epochs=request.sizes.epochs, batch=BATCH, lr=LR)


def bags_of(rng: np.random.Generator, directions: NDArray[np.float64], *, breasts: int) -> BagBatch:
    """Ragged bags of tiles; positive bags are shifted along the first of `directions` (2, D), others the second."""
    lengths, labels = rng.integers(40, 161, breasts), np.arange(breasts) % 2
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    features = rng.standard_normal((int(offsets[-1]), DIM), dtype=np.float32)
    for start, label, shifted in zip(offsets[:-1], labels, rng.integers(1, 5, breasts), strict=True):
        features[start : start + shifted] += (SHIFT * directions[1 - label]).astype(np.float32)
    return BagBatch.from_arrays(
        view_features=features[:0],
        view_offsets=np.zeros(breasts + 1, dtype=np.int64),
        tile_features=features,
        tile_offsets=offsets,
        breast_ids=[f"bag-{place}" for place in range(breasts)],
        labels=labels,
    )


def _start_of_peak_mb() -> float:
    """Reset the peak to the present memory, because making the bags took more; returns it."""
    CLEAR_REFS.write_text("5")  # Linux, proc(5): sets the peak back to the present size
    return _peak_mb()


def _peak_mb() -> float:
    (line,) = [line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024
