"""Early stopping, best epoch and learning curves of every trial in a pack.

T trial of the pack as it started, A trial still active (A <= T).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tilebank.errors import HeadError


@dataclass(frozen=True, eq=False)
class EpochMetrics:
    """Metrics of one epoch, each (A,): training loss before its steps, validation loss and metric after them.

    `others`: further metrics by name, the same names in every epoch.
    """

    train_loss: NDArray[np.float64]
    val_loss: NDArray[np.float64]
    val_metric: NDArray[np.float64]
    others: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class StopDecision:
    """The decision after an epoch, each (A,) bool: which heads improved on their best, and which continue."""

    improved: NDArray[np.bool_]
    continuing: NDArray[np.bool_]


class EarlyStopping:
    """Patience, best epoch and curves per trial. Best: a higher metric, or an equal one at lower validation loss.

    A trial stops after `patience` epochs in a row whose metric did not exceed, by more than `min_gain`, the metric at
    its last such gain; or when its validation loss is no longer finite.
    """

    def __init__(self, trials: int, *, patience: int, min_gain: float) -> None:
        self.best_epoch = np.zeros(trials, dtype=np.int64)
        self.best_metric = np.full(trials, -np.inf)
        self.epochs = np.zeros(trials, dtype=np.int64)
        self._best_loss = np.full(trials, np.inf)
        self._gained_metric = np.full(trials, -np.inf)
        self._epochs_without_gain = np.zeros(trials, dtype=np.int64)
        self._patience, self._min_gain = patience, min_gain
        self._history: list[tuple[NDArray[np.int64], EpochMetrics]] = []

    def update(self, active: NDArray[np.int64], metrics: EpochMetrics) -> StopDecision:
        """Add one epoch of the trials at positions `active` (A,), ascending.

        Raises HeadError for a trial whose loss is not finite in its first epoch.
        """
        self._history.append((active, metrics))
        self.epochs[active] += 1
        finite = np.isfinite(metrics.val_loss) & np.isfinite(metrics.val_metric)
        if np.any(~finite & (self.best_epoch[active] == 0)):
            broken = active[~finite & (self.best_epoch[active] == 0)].tolist()
            raise HeadError(f"trials {broken} have no finite validation loss in their first epoch; lower their lr")
        metric, loss = metrics.val_metric, metrics.val_loss
        equal_at_lower_loss = (metric == self.best_metric[active]) & (loss < self._best_loss[active])
        improved = finite & ((metric > self.best_metric[active]) | equal_at_lower_loss)
        better = active[improved]
        self.best_metric[better], self._best_loss[better] = metric[improved], loss[improved]
        self.best_epoch[better] = self.epochs[better]
        gained = finite & (metric - self._min_gain > self._gained_metric[active])
        self._gained_metric[active[gained]] = metric[gained]
        self._epochs_without_gain[active] = np.where(gained, 0, self._epochs_without_gain[active] + 1)
        return StopDecision(improved, finite & (self._epochs_without_gain[active] < self._patience))

    def curves(self, trial: int) -> dict[str, NDArray[np.float64]]:
        """Curves of one trial, one value per epoch that it ran: train_loss, val_loss, val_auc and all others."""
        ran = self._history[: self.epochs[trial]]  # a trial that has stopped does not come back
        at = [(int(np.searchsorted(active, trial)), metrics) for active, metrics in ran]
        return {
            "train_loss": np.array([metrics.train_loss[place] for place, metrics in at]),
            "val_loss": np.array([metrics.val_loss[place] for place, metrics in at]),
            "val_auc": np.array([metrics.val_metric[place] for place, metrics in at]),
        } | {name: np.array([metrics.others[name][place] for place, metrics in at]) for name in at[0][1].others}
