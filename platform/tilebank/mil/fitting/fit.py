"""Fit many heads as one computation. Knows bags and heads; is handed its metric, and knows no test split.

The published recipe: Adam at 2e-3 with L2 weight decay 1e-4, full batch, at most 700 epochs, patience 20 at a gain of
0.001 in validation AUC, binary cross-entropy. Every trial keeps its own seed, learning rate, weight decay, dropout,
class weight, early stop and best checkpoint; a head that is done leaves the computation. Features stay as they are
stored; a piece of them at a time is read in float32, forward and backward, so that a step reads each vector once.
T trial of the pack, A trial still active, B breast, M example, C answer.
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
from tilebank.mil.fitting.memory_plan import FitPlan
from tilebank.mil.fitting.optimizer import EpochFigures, Ledger
from tilebank.mil.fitting.settings import FitConfig, TrialConfig
from tilebank.mil.fitting.training_loop import Course, Metric
from tilebank.mil.heads.registry import build_head

__all__ = ["FitConfig", "FitProgress", "FittedHead", "Metric", "TrialConfig", "fit_population"]


@dataclass(frozen=True, eq=False)
class FitProgress:
    """One epoch of a pack: `active` are the places, in the list of trials, of the heads that `figures` speaks of."""

    epoch: int
    active: tuple[int, ...]
    figures: EpochFigures


@dataclass(frozen=True, eq=False)
class FittedHead:
    """One trial's result: its head at its best epoch (counted from 1), and train_loss, val_loss, val_auc an epoch.

    Curves of a head with attention also hold attention_js and attention_entropy on the validation split (stability.py);
    where the head adds to its loss, extra_loss is that part of train_loss. `plan` says how its pack was computed.
    """

    trial: TrialConfig
    head: Head
    best_epoch: int
    best_val_auc: float
    epochs: int
    curves: dict[str, NDArray[np.float64]]
    plan: FitPlan


def fit_population(
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
    """Fit one head a trial, all at once, on `device` (where the bags lie if None); results in the order of `trials`.

    `metric` maps scores (A, B) or (A, B, C) and labels of the val split to (A,), higher being better; None is the AUC,
    macro-averaged over answers, computed on the device. The same arguments give the same bits on a CPU. Raises
    HeadError for splits that cannot be fitted on.
    """
    if train.device != val.device:
        raise HeadError(f"train lies on {train.device}, val on {val.device}; move both to one device")
    device = device or train.device
    pack = build_head(head, dim=train.dim, seeds=[trial.seed for trial in trials], outputs=outputs).to(device)
    course = Course(train, val, pack=pack, trials=trials, config=config, metric=metric)
    best = pack.select(range(len(trials)))
    ledger = Ledger(len(trials), patience=config.patience, min_gain=config.min_gain)
    active = np.arange(len(trials))
    with _product_precision(device, config):
        for epoch in range(1, config.max_epochs + 1):
            figures = course.run_epoch()
            verdict = ledger.record(active, figures)
            _keep_best(best, course.pack, at=active[verdict.improved], of=np.flatnonzero(verdict.improved))
            if progress is not None:
                progress(FitProgress(epoch, tuple(active.tolist()), figures))
            if not verdict.going_on.any():
                break
            if not verdict.going_on.all():
                staying = np.flatnonzero(verdict.going_on).tolist()
                course.go_on_with(staying)
                active = active[staying]
    return [_result(place, trial, best, ledger, plan=course.plan) for place, trial in enumerate(trials)]


def _keep_best(best: Head, pack: Head, *, at: NDArray[np.int64], of: NDArray[np.int64]) -> None:
    """Copy the heads at `of` in `pack` to the places `at` in `best`."""
    if len(at) == 0:
        return
    with torch.no_grad():
        for kept, current in zip(best.parameters(), pack.parameters(), strict=True):
            kept[torch.from_numpy(at).to(kept.device)] = current[torch.from_numpy(of).to(kept.device)]


def _result(place: int, trial: TrialConfig, best: Head, ledger: Ledger, *, plan: FitPlan) -> FittedHead:
    return FittedHead(
        trial=trial,
        head=best.select([place]),
        best_epoch=int(ledger.best_epoch[place]),
        best_val_auc=float(ledger.best_metric[place]),
        epochs=int(ledger.epochs[place]),
        curves=ledger.curves(place),
        plan=plan,
    )


@contextmanager
def _product_precision(device: torch.device, config: FitConfig) -> Iterator[None]:
    """The setting is one of the process: it is put back."""
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
