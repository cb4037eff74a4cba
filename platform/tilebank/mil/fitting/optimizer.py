"""What a pack of heads needs while it is fitted: an optimiser along the trial axis, a ledger of best and done.

Knows neither bags nor losses: it is given gradients and per-epoch figures. T trial of the pack as it started, A trial
still active (A <= T).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tilebank.errors import HeadError

_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8  # the defaults of the paper and of torch.optim.Adam


class StackedAdam:
    """Adam (Kingma and Ba, 2015, algorithm 1) with a learning rate and L2 weight decay of its own for every trial.

    The decay is added to the gradient, as torch.optim.Adam does it (not decoupled, as AdamW would).
    """

    def __init__(self, module: nn.Module, *, lr: Sequence[float], weight_decay: Sequence[float]) -> None:
        self._parameters = list(module.parameters())  # each (T, ...)
        self._mean = [torch.zeros_like(parameter) for parameter in self._parameters]
        self._square = [torch.zeros_like(parameter) for parameter in self._parameters]
        device = self._parameters[0].device
        self._lr = torch.tensor(lr, dtype=torch.float32, device=device)  # (T,)
        self._weight_decay = torch.tensor(weight_decay, dtype=torch.float32, device=device)  # (T,)
        self._steps = 0

    def step(self, gradients: Sequence[Tensor]) -> None:
        """One step down `gradients`, one a parameter of the module, in its order."""
        self._steps += 1
        rate = self._lr / (1 - _BETA1**self._steps)
        correction = (1 - _BETA2**self._steps) ** 0.5
        with torch.no_grad():
            for parameter, gradient, mean, square in zip(
                self._parameters, gradients, self._mean, self._square, strict=True
            ):
                decayed = torch.addcmul(gradient, _along_trials(self._weight_decay, parameter), parameter)
                mean.lerp_(decayed, 1 - _BETA1)
                square.mul_(_BETA2).addcmul_(decayed, decayed, value=1 - _BETA2)
                scale = square.sqrt().div_(correction).add_(_EPSILON)
                parameter.sub_(_along_trials(rate, parameter) * mean / scale)

    def select(self, module: nn.Module, trials: Sequence[int]) -> "StackedAdam":
        """The optimiser of `module`, which holds the heads at `trials` of the present one, going on where it stands."""
        chosen = torch.as_tensor(trials, dtype=torch.int64, device=self._lr.device)
        picked = StackedAdam(module, lr=self._lr[chosen].tolist(), weight_decay=self._weight_decay[chosen].tolist())
        picked._mean = [mean[chosen] for mean in self._mean]
        picked._square = [square[chosen] for square in self._square]
        picked._steps = self._steps
        return picked


@dataclass(frozen=True, eq=False)
class EpochFigures:
    """What one epoch gave, each (A,): the training loss before its step; validation loss and metric after it.

    `others`: further figures by name, the same names at each epoch.
    """

    train_loss: NDArray[np.float64]
    val_loss: NDArray[np.float64]
    val_metric: NDArray[np.float64]
    others: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class EpochVerdict:
    """What follows from an epoch, each (A,) bool: heads that are better than they ever were, and heads that go on."""

    improved: NDArray[np.bool_]
    going_on: NDArray[np.bool_]


class Ledger:
    """Per-trial curves, best epoch and patience. Best: a higher metric, or an equal one at lower loss.

    A head is done after `patience` epochs in a row whose metric did not exceed, by more than `min_gain`, the metric at
    its last such gain; or when its loss is no longer finite.
    """

    def __init__(self, trials: int, *, patience: int, min_gain: float) -> None:
        self.best_epoch = np.zeros(trials, dtype=np.int64)
        self.best_metric = np.full(trials, -np.inf)
        self.epochs = np.zeros(trials, dtype=np.int64)
        self._best_loss = np.full(trials, np.inf)
        self._gained_metric = np.full(trials, -np.inf)
        self._waited = np.zeros(trials, dtype=np.int64)
        self._patience, self._min_gain = patience, min_gain
        self._history: list[tuple[NDArray[np.int64], EpochFigures]] = []

    def record(self, active: NDArray[np.int64], figures: EpochFigures) -> EpochVerdict:
        """Enter one epoch of the trials at `active` (A,), rising. Raises HeadError for one broken in its first."""
        self._history.append((active, figures))
        self.epochs[active] += 1
        finite = np.isfinite(figures.val_loss) & np.isfinite(figures.val_metric)
        if np.any(~finite & (self.best_epoch[active] == 0)):
            broken = active[~finite & (self.best_epoch[active] == 0)].tolist()
            raise HeadError(f"trials {broken} have no finite validation loss in their first epoch; lower their lr")
        metric, loss = figures.val_metric, figures.val_loss
        equal_but_surer = (metric == self.best_metric[active]) & (loss < self._best_loss[active])
        improved = finite & ((metric > self.best_metric[active]) | equal_but_surer)
        better = active[improved]
        self.best_metric[better], self._best_loss[better] = metric[improved], loss[improved]
        self.best_epoch[better] = self.epochs[better]
        gained = finite & (metric - self._min_gain > self._gained_metric[active])
        self._gained_metric[active[gained]] = metric[gained]
        self._waited[active] = np.where(gained, 0, self._waited[active] + 1)
        return EpochVerdict(improved, finite & (self._waited[active] < self._patience))

    def curves(self, trial: int) -> dict[str, NDArray[np.float64]]:
        """Figures of one trial, a number an epoch that it ran: train_loss, val_loss, val_auc, and all others."""
        ran = self._history[: self.epochs[trial]]  # a head that left does not come back
        at = [(int(np.searchsorted(active, trial)), figures) for active, figures in ran]
        return {
            "train_loss": np.array([figures.train_loss[place] for place, figures in at]),
            "val_loss": np.array([figures.val_loss[place] for place, figures in at]),
            "val_auc": np.array([figures.val_metric[place] for place, figures in at]),
        } | {name: np.array([figures.others[name][place] for place, figures in at]) for name in at[0][1].others}


def _along_trials(values: Tensor, like: Tensor) -> Tensor:
    return values.view(-1, *(1,) * (like.ndim - 1))  # (T,) -> (T, 1, ...)
