"""Fit many heads as one computation, full batch. Knows bags and heads; is handed its metric, and knows no test split.

The published recipe: Adam at 2e-3 with L2 weight decay 1e-4, at most 700 epochs, patience 20 at a gain of 0.001 in
validation AUC, binary cross-entropy. Every trial keeps its own seed, learning rate, weight decay, early stop and best
checkpoint; a head that is done leaves the computation. T trial of the pack, A trial still active, B breast.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from tilebank.errors import HeadError
from tilebank.mil.bags import BagBatch
from tilebank.mil.contract import Head, HeadConfig, PreparedBags
from tilebank.mil.heads import build_head
from tilebank.mil.population import EpochFigures, Ledger, StackedAdam

Metric = Callable[[NDArray[np.float64], NDArray[np.int64]], NDArray[np.float64]]


@dataclass(frozen=True)
class FitConfig:
    """How long, and how classes weigh: `balanced` gives a positive breast the train split's n_negative / n_positive."""

    max_epochs: int = 700
    patience: int = 20
    min_gain: float = 0.001
    class_weight: Literal["balanced", "none"] = "balanced"

    def __post_init__(self) -> None:
        if self.max_epochs < 1 or self.patience < 1 or self.min_gain < 0:
            raise HeadError(
                f"fit: max_epochs {self.max_epochs} and patience {self.patience} must be at least 1, "
                f"min_gain {self.min_gain} at least 0"
            )
        if self.class_weight not in ("balanced", "none"):
            raise HeadError(f"fit: no class_weight {self.class_weight!r}; choose balanced or none")


@dataclass(frozen=True)
class TrialConfig:
    """What differs between the heads of a pack: the seed of the first weights, and the optimiser's two rates."""

    seed: int
    lr: float = 2e-3
    weight_decay: float = 1e-4

    def __post_init__(self) -> None:
        if not self.lr > 0 or not self.weight_decay >= 0:
            raise HeadError(
                f"trial of seed {self.seed}: lr {self.lr} must be above 0, weight_decay {self.weight_decay} not below"
            )


@dataclass(frozen=True, eq=False)
class FitProgress:
    """One epoch of a pack: `active` are the places, in the list of trials, of the heads that `figures` speaks of."""

    epoch: int
    active: tuple[int, ...]
    figures: EpochFigures


@dataclass(frozen=True, eq=False)
class FittedHead:
    """One trial's result: its head at its best epoch (counted from 1), and train_loss, val_loss, val_auc an epoch."""

    trial: TrialConfig
    head: Head
    best_epoch: int
    best_val_auc: float
    epochs: int
    curves: dict[str, NDArray[np.float64]]


def fit_population(
    train: BagBatch,
    val: BagBatch,
    *,
    head: HeadConfig,
    trials: Sequence[TrialConfig],
    config: FitConfig,
    metric: Metric,
    progress: Callable[[FitProgress], None] | None = None,
) -> list[FittedHead]:
    """Fit one head a trial, all at once, on the device where the bags lie; results in the order of `trials`.

    `metric` maps scores (A, B) and labels (B,) of the val split to (A,), higher being better: ROC AUC. The same
    arguments give the same bits on a CPU. Raises HeadError for splits that cannot be fitted on.
    """
    train_labels, val_labels = _assert_labelled(train, split="train"), _assert_labelled(val, split="val")
    if train.device != val.device:
        raise HeadError(f"train lies on {train.device}, val on {val.device}; move both to one device")
    pack = build_head(head, dim=train.dim, seeds=[trial.seed for trial in trials]).to(train.device)
    adam = StackedAdam(pack, lr=[each.lr for each in trials], weight_decay=[each.weight_decay for each in trials])
    best = pack.select(range(len(trials)))
    ledger = Ledger(len(trials), patience=config.patience, min_gain=config.min_gain)
    splits = _Splits(
        pack.prepare(train), train_labels, pack.prepare(val), val_labels, _positive_weight(train_labels, config)
    )
    active = np.arange(len(trials))
    for epoch in range(1, config.max_epochs + 1):
        figures = _run_epoch(pack, adam, splits=splits, metric=metric)
        verdict = ledger.record(active, figures)
        _keep_best(best, pack, best_places=active[verdict.improved], pack_places=np.flatnonzero(verdict.improved))
        if progress is not None:
            progress(FitProgress(epoch, tuple(active.tolist()), figures))
        if not verdict.going_on.any():
            break
        if not verdict.going_on.all():
            staying = np.flatnonzero(verdict.going_on).tolist()
            pack, active = pack.select(staying), active[staying]
            adam = adam.select(pack, staying)
    return [_result(place, trial, best=best, ledger=ledger) for place, trial in enumerate(trials)]


@dataclass(frozen=True, eq=False)
class _Splits:
    train: PreparedBags
    train_labels: Tensor  # (B,)
    val: PreparedBags
    val_labels: Tensor
    positive_weight: Tensor  # ()


def _run_epoch(pack: Head, adam: StackedAdam, *, splits: _Splits, metric: Metric) -> EpochFigures:
    train_loss = _loss(pack.logits(splits.train), splits.train_labels, positive_weight=splits.positive_weight)
    adam.step(train_loss)
    with torch.inference_mode():
        logits = pack.logits(splits.val)  # (A, B)
        val_loss = _loss(logits, splits.val_labels, positive_weight=splits.positive_weight)
        # float64, or large logits would all round to the score 1; a broken head gets ties here, the ledger ends it.
        scores = torch.sigmoid(logits.double().nan_to_num(0.0, 0.0, 0.0)).cpu().numpy()
    val_metric = np.asarray(metric(scores, splits.val_labels.cpu().numpy().astype(np.int64)), dtype=np.float64)
    if val_metric.shape != (len(scores),):
        raise HeadError(f"metric gave shape {val_metric.shape} for {len(scores)} heads; return one number a head")
    return EpochFigures(_to_numpy(train_loss), _to_numpy(val_loss), val_metric)


def _loss(logits: Tensor, labels: Tensor, *, positive_weight: Tensor) -> Tensor:
    losses = binary_cross_entropy_with_logits(
        logits, labels.expand_as(logits), pos_weight=positive_weight, reduction="none"
    )
    return losses.mean(dim=1)  # (A, B) -> (A,)


def _keep_best(best: Head, pack: Head, *, best_places: NDArray[np.int64], pack_places: NDArray[np.int64]) -> None:
    if len(best_places) == 0:
        return
    with torch.no_grad():
        for kept, current in zip(best.parameters(), pack.parameters(), strict=True):
            kept[torch.from_numpy(best_places).to(kept.device)] = current[torch.from_numpy(pack_places).to(kept.device)]


def _result(place: int, trial: TrialConfig, *, best: Head, ledger: Ledger) -> FittedHead:
    return FittedHead(
        trial=trial,
        head=best.select([place]),
        best_epoch=int(ledger.best_epoch[place]),
        best_val_auc=float(ledger.best_metric[place]),
        epochs=int(ledger.epochs[place]),
        curves=ledger.curves(place),
    )


def _positive_weight(labels: Tensor, config: FitConfig) -> Tensor:
    if config.class_weight == "none":
        return torch.ones((), device=labels.device)
    return (len(labels) - labels.sum()) / labels.sum()


def _assert_labelled(bags: BagBatch, *, split: str) -> Tensor:
    if bags.labels is None:
        raise HeadError(f"the {split} split has no labels; read it with a task")
    positives = int(bags.labels.sum())
    if positives in (0, len(bags)):
        raise HeadError(
            f"the {split} split has {positives} positive and {len(bags) - positives} negative breasts; "
            "a head needs both classes"
        )
    bags.assert_finite()
    return bags.labels


def _to_numpy(values: Tensor) -> NDArray[np.float64]:
    return values.detach().double().cpu().numpy()
