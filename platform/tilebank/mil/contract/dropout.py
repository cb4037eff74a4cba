"""Random numbers of a training step: dropout masks and uniform noise, with one random stream per trial.

They are sampled once per step for all breasts of the batch. Therefore a step does not depend on how it is split into
micro-batches, and a trial gets the same numbers in any pack. CPU and GPU streams differ.
T trial, B breast, P channel of the pooled vector, W uniform number that a head asks for.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

_DROPOUT, _UNIFORM = 1, 2  # stream numbers: dropout, noise and the first weights (the plain seed) must not correlate


@dataclass(frozen=True, eq=False)
class StepNoise:
    """Random numbers of one step: `dropout_mask` (T, P, B) and `uniform` (T, W, B) in [0, 1); None where unused."""

    dropout_mask: Tensor | None = None
    uniform: Tensor | None = None

    def between(self, start: int, stop: int) -> "StepNoise":
        """The numbers of breasts `start` up to `stop`."""
        return StepNoise(
            None if self.dropout_mask is None else self.dropout_mask[:, :, start:stop],
            None if self.uniform is None else self.uniform[:, :, start:stop],
        )

    def dropout(self, pooled: Tensor, *, owner: Tensor | None = None) -> Tensor:
        """Apply dropout to pooled vectors (T, P, B), or to instances (T, P, N) whose breasts are `owner` (N,)."""
        if self.dropout_mask is None:
            return pooled
        return pooled * (self.dropout_mask if owner is None else self.dropout_mask[:, :, owner])


NO_NOISE = StepNoise()  # inference: neither dropout nor noise


class StackedDropout:
    """Dropout masks (Srivastava et al., JMLR 15:1929, 2014) with a rate per trial.

    Dropout acts on pooled vectors, because a mask of (P, B) is small compared with one of N instances.
    """

    def __init__(self, rates: Sequence[float], *, seeds: Sequence[int], width: int, device: torch.device) -> None:
        self._rates, self._width, self._device = list(rates), width, device
        self._generators = _generators(seeds, stream=_DROPOUT, device=device)

    def sample(self, breasts: int) -> Tensor | None:
        """The next step's mask (T, P, B): 0, or 1 / (1 - rate) to keep the mean; None if every rate is 0."""
        if not any(self._rates):
            return None
        mask = torch.ones(len(self._rates), self._width, breasts, device=self._device)
        for trial, (rate, generator) in enumerate(zip(self._rates, self._generators, strict=True)):
            if rate:
                uniform = torch.rand(self._width, breasts, generator=generator, device=self._device)
                mask[trial] = (uniform >= rate) / (1 - rate)
        return mask

    def select(self, trials: Sequence[int]) -> None:
        """Keep only the trials at these positions."""
        self._rates = [self._rates[trial] for trial in trials]
        self._generators = [self._generators[trial] for trial in trials]


class StackedUniform:
    """Uniform noise for heads that sample something themselves: `width` numbers per breast and step."""

    def __init__(self, width: int, *, seeds: Sequence[int], device: torch.device) -> None:
        self._width, self._device = width, device
        self._generators = _generators(seeds, stream=_UNIFORM, device=device)

    def sample(self, breasts: int) -> Tensor | None:
        """The next step's numbers (T, W, B) in [0, 1); None if the width is 0."""
        if not self._width:
            return None
        shape = (self._width, breasts)
        return torch.stack([torch.rand(shape, generator=each, device=self._device) for each in self._generators])

    def select(self, trials: Sequence[int]) -> None:
        """Keep only the trials at these positions."""
        self._generators = [self._generators[trial] for trial in trials]


def _generators(seeds: Sequence[int], *, stream: int, device: torch.device) -> list[torch.Generator]:
    own = [int(np.random.SeedSequence([seed, stream]).generate_state(1)[0]) for seed in seeds]
    return [torch.Generator(device).manual_seed(seed) for seed in own]
