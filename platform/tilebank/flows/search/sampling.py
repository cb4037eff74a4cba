"""Choose the trials of a search: all at once by seed, or in rounds by Optuna, from validation AUCs.

Both are reproducible: the same settings give the same trials, and Optuna too if it gets the same AUCs in the same
order. So a resumed search replays the rounds that are known.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from tilebank.flows.settings.search_space import HEAD, Dimension, SearchConfig, Value
from tilebank.mil.fitting.fit import TrialConfig
from tilebank.mil.heads.registry import HeadConfig


@dataclass(frozen=True)
class Candidate:
    """A trial that is to be fitted, and the architecture of its head."""

    trial: TrialConfig
    head: HeadConfig


class Sampler(Protocol):
    """Asked for a round of trials, then told how they did; again until there are enough."""

    def ask(self, most: int) -> list[Candidate]:
        """The next round: at least one trial and at most `most`, seeds rising."""
        ...

    def tell(self, val_aucs: Sequence[float]) -> None:
        """The validation AUC of every trial of the round, in the order in which they were asked."""
        ...


def open_sampler(config: SearchConfig, head: HeadConfig) -> Sampler:
    """The sampler that the search names; what it does not draw is as in `config` and `head`."""
    return SAMPLERS[config.sampler](config, head)


class _SeededSampler:
    """All trials in one round, each drawn by its own seed: a longer search begins with the trials of a shorter one."""

    def __init__(self, config: SearchConfig, head: HeadConfig) -> None:
        self._config, self._head = config, head

    def ask(self, most: int) -> list[Candidate]:
        first = self._config.first_seed
        return [self._draw(seed) for seed in range(first, first + most)]

    def tell(self, val_aucs: Sequence[float]) -> None:
        """Nothing is learnt from them."""

    def _draw(self, seed: int) -> Candidate:
        # Not the seed itself, nor the stream of the dropout masks ([seed, 1]): draws must follow neither.
        generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, 2])))
        drawn = {name: each.at(generator.random()) for name, each in self._config.dimensions().items()}
        return _candidate(self._config, self._head, seed=seed, drawn=drawn)


class _OptunaSampler:
    """Rounds by the tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011), as Optuna implements it."""

    def __init__(self, config: SearchConfig, head: HeadConfig) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._config, self._head = config, head
        self._distributions = {name: _distribution(each) for name, each in config.dimensions().items()}
        sampler = optuna.samplers.TPESampler(seed=config.first_seed)
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._asked: list[Any] = []

    def ask(self, most: int) -> list[Candidate]:
        count = min(most, self._config.round_trials)
        self._asked = [self._study.ask(self._distributions) for _ in range(count)]
        first = self._config.first_seed
        return [
            _candidate(self._config, self._head, seed=first + trial.number, drawn=trial.params) for trial in self._asked
        ]

    def tell(self, val_aucs: Sequence[float]) -> None:
        for trial, val_auc in zip(self._asked, val_aucs, strict=True):
            self._study.tell(trial, val_auc)


SAMPLERS: dict[str, Callable[[SearchConfig, HeadConfig], Sampler]] = {
    "seeds": _SeededSampler,
    "random": _SeededSampler,
    "optuna": _OptunaSampler,
}


def _candidate(config: SearchConfig, head: HeadConfig, *, seed: int, drawn: Mapping[str, Value]) -> Candidate:
    one = TrialConfig(
        seed=seed,
        lr=config.lr,
        weight_decay=config.weight_decay,
        dropout=config.dropout,
        positive_weight=config.positive_weight,
    )
    of_head: dict[str, Any] = {name.removeprefix(HEAD): value for name, value in drawn.items() if name.startswith(HEAD)}
    of_trial: dict[str, Any] = {name: value for name, value in drawn.items() if not name.startswith(HEAD)}
    return Candidate(replace(one, **of_trial), replace(head, **of_head))


def _distribution(dimension: Dimension) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if dimension.low is None or dimension.high is None:
        return CategoricalDistribution(dimension.choices)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log)
