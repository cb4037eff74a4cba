"""Fit many heads at once, as one computation.

The published recipe: Adam at 2e-3 with L2 weight decay 1e-4, full batch, at most 700 epochs, patience 20 at a gain of
0.001 in validation AUC, binary cross-entropy. Every trial keeps its own seed, learning rate, weight decay, dropout,
class weight, early stopping and best checkpoint; a trial that has stopped leaves the computation. Features stay as
stored; each micro-batch is read in float32 once per step, for all trials together.
T trial of the pack, A trial still active, B breast, M example, C output.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tilebank.errors import HeadError
from tilebank.mil.bags.bags import BagBatch
from tilebank.mil.contract.head import Head, HeadConfig
from tilebank.mil.contract.outputs import BINARY, Outputs
from tilebank.mil.fitting.early_stopping import EarlyStopping, EpochMetrics
from tilebank.mil.fitting.memory_plan import FitPlan
from tilebank.mil.fitting.settings import FitConfig, TrialConfig
from tilebank.mil.fitting.training_loop import Metric, TrainingLoop
from tilebank.mil.heads.registry import build_head

__all__ = ["FitConfig", "FitProgress", "FittedHead", "Metric", "TrialConfig", "fit_heads"]


@dataclass(frozen=True, eq=False)
class FitProgress:
    """One epoch of a pack: `active` holds the positions, in the list of trials, of the heads in `metrics`."""

    epoch: int
    active: tuple[int, ...]
    metrics: EpochMetrics


@dataclass(frozen=True, eq=False)
class FittedHead:
    """Result of one trial: its head at its best epoch (counted from 1), and train_loss, val_loss, val_auc per epoch.

    A head with attention also has the curves attention_js and attention_entropy of the validation split
    (attention_curves.py). If the head adds a term to its loss, extra_loss is that part of train_loss. `plan` says how
    the pack was computed.
    """

    trial: TrialConfig
    head: Head
    best_epoch: int
    best_val_auc: float
    epochs: int
    curves: dict[str, NDArray[np.float64]]
    plan: FitPlan


def fit_heads(
    train: BagBatch,
    val: BagBatch,
    *,
    head: HeadConfig,
    trials: Sequence[TrialConfig],
    config: FitConfig,
    outputs: Outputs = BINARY,
    device: torch.device | None = None,
    metric: Metric | None = None,
    progress: Callable[[FitProgress], None] | None = None,
) -> list[FittedHead]:
    """Fit one head per trial, all at once, on `device` (None: where the bags are); results in the order of `trials`.

    `metric` maps scores (A, B) or (A, B, C) and labels of the val split to (A,), higher being better; None is the AUC,
    macro-averaged over outputs, computed on the device. On a CPU the same arguments give the same bits. Raises
    HeadError for splits that cannot be fitted.
    """
    if train.device != val.device:
        raise HeadError(f"train is on {train.device}, val on {val.device}; move both to one device")
    device = device or train.device
    pack = build_head(head, dim=train.dim, seeds=[trial.seed for trial in trials], outputs=outputs).to(device)
    loop = TrainingLoop(train, val, pack=pack, trials=trials, config=config, metric=metric)
    best = pack.select(range(len(trials)))
    stopping = EarlyStopping(len(trials), patience=config.patience, min_gain=config.min_gain)
    active = np.arange(len(trials))
    with _matmul_precision(device, config):
        for epoch in range(1, config.max_epochs + 1):
            metrics = loop.run_epoch()
            decision = stopping.update(active, metrics)
            _keep_best(best, loop.pack, at=active[decision.improved], of=np.flatnonzero(decision.improved))
            if progress is not None:
                progress(FitProgress(epoch, tuple(active.tolist()), metrics))
            if not decision.continuing.any():
                break
            if not decision.continuing.all():
                staying = np.flatnonzero(decision.continuing).tolist()
                loop.keep_trials(staying)
                active = active[staying]
    return [_result(place, trial, best, stopping, plan=loop.plan) for place, trial in enumerate(trials)]


def _keep_best(best: Head, pack: Head, *, at: NDArray[np.int64], of: NDArray[np.int64]) -> None:
    """Copy the heads at positions `of` in `pack` to positions `at` in `best`."""
    if len(at) == 0:
        return
    with torch.no_grad():
        for kept, current in zip(best.parameters(), pack.parameters(), strict=True):
            kept[torch.from_numpy(at).to(kept.device)] = current[torch.from_numpy(of).to(kept.device)]


def _result(place: int, trial: TrialConfig, best: Head, stopping: EarlyStopping, *, plan: FitPlan) -> FittedHead:
    return FittedHead(
        trial=trial,
        head=best.select([place]),
        best_epoch=int(stopping.best_epoch[place]),
        best_val_auc=float(stopping.best_metric[place]),
        epochs=int(stopping.epochs[place]),
        curves=stopping.curves(place),
        plan=plan,
    )


@contextmanager
def _matmul_precision(device: torch.device, config: FitConfig) -> Iterator[None]:
    """Set the precision of CUDA matrix products, a setting of the process, and restore it."""
    if device.type != "cuda":
        yield
        return
    settings = torch.backends.cuda.matmul
    before = settings.fp32_precision
    settings.fp32_precision = "tf32" if config.tf32 else "ieee"
    try:
        yield
    finally:
        settings.fp32_precision = before
