"""The choices that a user makes by flags: names of configuration files, and what overrides them."""

from dataclasses import dataclass
from typing import Literal, get_args

Shown = Literal["attention", "contribution", "evidence"]
MAPS: tuple[str, ...] = get_args(Shown)


@dataclass(frozen=True)
class Choices:
    """Names of files in `conf/`, places, and `--set` pairs that override both. Empty: not said."""

    dataset: str = "phantom"
    encoder: str = "texture"
    head: str = "dual_stream"
    search: str = "seeds"
    root: str = ""
    store: str = ""
    tracking: str = ""
    set: tuple[str, ...] = ()
