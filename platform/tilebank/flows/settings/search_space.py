"""The settings of a search: its recipe, and the ranges and choices that trials are drawn from."""

import itertools
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from tilebank.config import nearest
from tilebank.errors import ConfigError, TilebankError
from tilebank.mil.fitting.fit import FitConfig, TrialConfig
from tilebank.mil.heads.registry import HeadConfig

Value = bool | int | float | str | None

HEAD = "head."  # before the name of a head's setting, where both kinds stand together
MOST_ARCHITECTURES = 1000


@dataclass(frozen=True)
class Dimension:
    """What one setting may be: from `low` to `high`, evenly or (`log`) evenly in its logarithm; or one of `choices`."""

    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: tuple[Value, ...] = ()

    def __post_init__(self) -> None:
        if self.choices:
            if self.low is not None or self.high is not None or self.log:
                raise ValueError("give choices, or low and high, not both")
            if len(set(map(repr, self.choices))) < len(self.choices):
                raise ValueError(f"choices {list(self.choices)} name one twice")
            return
        if self.low is None or self.high is None:
            raise ValueError("give low and high, or choices")
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"low {self.low} is not below high {self.high}")
        if self.log and not self.low > 0:
            raise ValueError(f"low {self.low} of a log range is not above 0")

    @property
    def ends(self) -> tuple[Value, ...]:
        """The choices, or the range's two ends: where these are allowed, so is all between."""
        return self.choices or (self.low, self.high)

    def at(self, share: float) -> Value:
        """The value that has `share`, in [0, 1), of the others before it."""
        if self.low is None or self.high is None:
            return self.choices[int(share * len(self.choices))]
        low, high = self.low, self.high
        value = math.exp(math.log(low) + share * math.log(high / low)) if self.log else low + share * (high - low)
        return min(high, max(low, value))  # rounding must not lead outside

    def as_text(self) -> str:
        """For the record, nothing lost."""
        if self.choices:
            return f"one of {list(self.choices)}"
        return f"{self.low!r} to {self.high!r}{', log' * self.log}"


@dataclass(frozen=True)
class TrialSpace:
    """The settings of TrialConfig that are drawn for every trial; what is not named keeps the search's one value."""

    lr: Dimension | None = None
    weight_decay: Dimension | None = None
    dropout: Dimension | None = None
    positive_weight: Dimension | None = None

    def __post_init__(self) -> None:
        plain = TrialConfig(seed=0)
        for name, dimension in self.given().items():
            for value in dimension.ends:
                optional = name == "positive_weight" and value is None
                if not optional and (isinstance(value, bool) or not isinstance(value, int | float)):
                    raise ValueError(f"{name}: {value!r} is no number")
                one: dict[str, Any] = {name: value}
                try:
                    replace(plain, **one)
                except TilebankError as error:
                    raise ValueError(f"{name} cannot be {value!r} ({error})") from error

    def given(self) -> dict[str, Dimension]:
        """The dimensions by name."""
        found = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: dimension for name, dimension in found.items() if dimension is not None}


@dataclass(frozen=True)
class SearchConfig:
    """How many heads are fitted and with what. See conf/searches/.

    heads: names of files in conf/heads/ that are searched one after the other; empty: the one that --head names.
    dropout, positive_weight: of every trial, see TrialConfig.
    sampler: who chooses a trial's settings. `seeds`: nobody, trials differ by their seeds alone; `random`; `optuna`
    (TPE), which learns from rounds of `round_trials`. Either draws from `space` (of the trial) and `head_space` (of the
    head), which overrule the one value that stands for all.
    promote: when a new champion takes the place of the one that stands: `better` (by validation AUC) or `always`.
    shuffle_labels: permute the labels of train and val, a control that must score at chance; nothing is registered.
    """

    name: str
    trials: int = 36
    first_seed: int = 0
    lr: float = 2e-3
    weight_decay: float = 1e-4
    dropout: float = 0.0
    positive_weight: float | None = None
    sampler: Literal["seeds", "random", "optuna"] = "seeds"
    round_trials: int = 12
    space: TrialSpace = field(default_factory=TrialSpace)
    head_space: dict[str, Dimension] = field(default_factory=dict)
    pack: int = 0
    promote: Literal["better", "always"] = "better"
    shuffle_labels: bool = False
    heads: tuple[str, ...] = ()
    fit: FitConfig = field(default_factory=FitConfig)

    def __post_init__(self) -> None:
        if self.trials < 1 or self.round_trials < 1 or self.pack < 0 or self.first_seed < 0:
            raise ValueError("trials and round_trials are at least 1, pack and first_seed are not below 0")
        if len(set(self.heads)) < len(self.heads):
            raise ValueError(f"heads {', '.join(self.heads)} name one twice")
        drawn = ", ".join(self.dimensions())
        if self.sampler == "seeds" and drawn:
            raise ValueError(f"sampler seeds draws nothing, and {drawn} would be drawn; choose random or optuna")
        if self.sampler != "seeds" and not drawn:
            raise ValueError(f"sampler {self.sampler} has nothing to draw; give ranges below space, or choose seeds")

    @property
    def positive_weights(self) -> tuple[Value, ...]:
        """What a trial's weight of positives may be: the ends of what is drawn, else the one of all."""
        drawn = self.space.positive_weight
        return drawn.ends if drawn else (self.positive_weight,)

    def dimensions(self) -> dict[str, Dimension]:
        """All that is drawn, by name and in its order: a trial's settings, then the head's with `head.` before them."""
        head = {f"{HEAD}{name}": dimension for name, dimension in self.head_space.items()}
        return dict(sorted(self.space.given().items())) | dict(sorted(head.items()))


def assert_architectures(head: HeadConfig, space: Mapping[str, Dimension]) -> None:
    """Raise ConfigError unless every head that `space` can make of `head` is one."""
    known = sorted(each.name for each in fields(head) if each.name != "name")
    for name, dimension in space.items():
        if name not in known:
            raise ConfigError(
                f"unknown key 'search.head_space.{name}'{nearest(name, known)}; head {head.name} has"
                f" {', '.join(known)};"
                ' name some of these, or none with --set "search.head_space={}"'
            )
        if not dimension.choices:
            raise ConfigError(
                f"'search.head_space.{name}' is a range; an architecture is chosen from a list: give choices"
            )
    count = math.prod(len(dimension.choices) for dimension in space.values())
    if count > MOST_ARCHITECTURES:
        raise ConfigError(
            f"'search.head_space' makes {count} different heads; leave choices out until it is {MOST_ARCHITECTURES}"
        )
    check = TypeAdapter(type(head))
    for values in itertools.product(*(dimension.choices for dimension in space.values())):
        drawn = dict(zip(space, values, strict=True))
        try:
            check.validate_python(asdict(head) | drawn)
        except (ValidationError, TilebankError) as error:
            said = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
            raise ConfigError(f"'search.head_space' makes a head of {drawn}, which cannot be: {said}") from error
