"""Adam with its own learning rate and weight decay for every trial of a pack.

T trial.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8  # the defaults of the paper and of torch.optim.Adam


class StackedAdam:
    """Adam (Kingma and Ba, 2015, algorithm 1) with its own learning rate and L2 weight decay for every trial.

    The decay is added to the gradient, as in torch.optim.Adam (not decoupled, as in AdamW).
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
        """One step, given one gradient per parameter of the module, in its order."""
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
        """An optimizer with the same state for `module`, which holds the heads at positions `trials`."""
        chosen = torch.as_tensor(trials, dtype=torch.int64, device=self._lr.device)
        selected = StackedAdam(module, lr=self._lr[chosen].tolist(), weight_decay=self._weight_decay[chosen].tolist())
        selected._mean = [mean[chosen] for mean in self._mean]
        selected._square = [square[chosen] for square in self._square]
        selected._steps = self._steps
        return selected


def _along_trials(values: Tensor, like: Tensor) -> Tensor:
    return values.view(-1, *(1,) * (like.ndim - 1))  # (T,) -> (T, 1, ...)
