"""What chance adds to a step of fitting: dropout masks and noise, a random stream of its own for every trial.

Drawn once a step for all its breasts, so that a step is the same however it is cut into pieces, and a trial draws the
same in any pack. A device has its own stream of random numbers. T trial, B breast, P channel of the pooled vector,
W number that a head asks for.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

_DROPOUT, _NOISE = 1, 2  # so that neither follows the other, nor the first weights, which the seed itself draws


@dataclass(frozen=True, eq=False)
class Draws:
    """Chance of one step: `keep` (T, P, B) multiplies pooled vectors, `noise` (T, W, B) lies in [0, 1); None: none."""

    keep: Tensor | None = None
    noise: Tensor | None = None

    def between(self, start: int, stop: int) -> "Draws":
        """Those of the breasts from `start` up to `stop`."""
        return Draws(
            None if self.keep is None else self.keep[:, :, start:stop],
            None if self.noise is None else self.noise[:, :, start:stop],
        )

    def thin(self, pooled: Tensor, *, owner: Tensor | None = None) -> Tensor:
        """`pooled` (T, P, B) after dropout; with the breast of each instance in `owner` (N,), instances (T, P, N)."""
        if self.keep is None:
            return pooled
        return pooled * (self.keep if owner is None else self.keep[:, :, owner])


STILL = Draws()  # a head in use: nothing is left to chance


class StackedDropout:
    """Dropout (Srivastava et al., JMLR 15:1929, 2014) with a rate of its own for every trial.

    It acts on pooled vectors: a mask (P, B) a trial and step is nothing beside N instances.
    """

    def __init__(self, rates: Sequence[float], *, seeds: Sequence[int], width: int, device: torch.device) -> None:
        self._rates, self._width, self._device = list(rates), width, device
        self._generators = _generators(seeds, stream=_DROPOUT, device=device)

    def draw(self, breasts: int) -> Tensor | None:
        """The factors of the next step (T, P, B): 0, or 1 / (1 - rate), so that means stay; None if no trial drops."""
        if not any(self._rates):
            return None
        keep = torch.ones(len(self._rates), self._width, breasts, device=self._device)
        for place, (rate, generator) in enumerate(zip(self._rates, self._generators, strict=True)):
            if rate:
                drawn = torch.rand(self._width, breasts, generator=generator, device=self._device)
                keep[place] = (drawn >= rate) / (1 - rate)
        return keep

    def select(self, trials: Sequence[int]) -> None:
        """Go on with the trials at `trials` alone."""
        self._rates = [self._rates[trial] for trial in trials]
        self._generators = [self._generators[trial] for trial in trials]


class StackedNoise:
    """Uniform numbers that a head makes its own choices from, `width` a breast and step."""

    def __init__(self, width: int, *, seeds: Sequence[int], device: torch.device) -> None:
        self._width, self._device = width, device
        self._generators = _generators(seeds, stream=_NOISE, device=device)

    def draw(self, breasts: int) -> Tensor | None:
        """Those of the next step (T, W, B), in [0, 1); None where the head asks for none."""
        if not self._width:
            return None
        shape = (self._width, breasts)
        return torch.stack([torch.rand(shape, generator=each, device=self._device) for each in self._generators])

    def select(self, trials: Sequence[int]) -> None:
        """Go on with the trials at `trials` alone."""
        self._generators = [self._generators[trial] for trial in trials]


def _generators(seeds: Sequence[int], *, stream: int, device: torch.device) -> list[torch.Generator]:
    own = [int(np.random.SeedSequence([seed, stream]).generate_state(1)[0]) for seed in seeds]
    return [torch.Generator(device).manual_seed(seed) for seed in own]
