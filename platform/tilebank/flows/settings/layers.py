"""Build a settings tree from layers, weakest first, and remember where each value was written."""

from collections.abc import Iterator, Sequence
from copy import deepcopy

import yaml

from tilebank.config import Tree
from tilebank.errors import ConfigError


class Layers:
    """A tree of settings and, by dotted key, the place that wrote each value."""

    def __init__(self) -> None:
        self.tree: Tree = {}
        self.sources: dict[str, str] = {}

    def lay(self, over: Tree, *, source: str, at: str = "") -> None:
        """Lay `over` on the part `at`, key by key: a mapping is merged, any other value (and `{}`) replaces."""
        self.sources[at] = source
        place = self.tree
        for step in at.split(".") if at else ():
            place = place.setdefault(step, {})
        self._merge(place, over, source=source, at=at)

    def put(self, key: str, value: object, *, source: str) -> None:
        """Set one dotted key. Raises ConfigError where a step of it is a single value."""
        *path, last = key.split(".")
        place = self.tree
        for step in path:
            place = place.setdefault(step, {})
            if not isinstance(place, dict):
                raise ConfigError(f"{source}: {step!r} is a single value, it has no keys below it")
        self._write(place, last, value, source=source, key=key)

    def override(self, pairs: Sequence[str]) -> None:
        """Set each `key=value` of --set (dotted key, YAML value). Raises ConfigError."""
        for pair in pairs:
            key, equals, text = pair.partition("=")
            if not equals or not key:
                raise ConfigError(f"--set {pair!r} is not key=value; write it as --set tiling.overlap=0.25")
            try:
                value = yaml.safe_load(text)
            except yaml.YAMLError as error:
                raise ConfigError(f"--set {pair}: the value is not YAML ({error})") from error
            self.put(key, value, source=f"--set {pair}")

    def _merge(self, place: Tree, over: Tree, *, source: str, at: str) -> None:
        for name, value in over.items():
            key = f"{at}.{name}" if at else str(name)
            if value and isinstance(value, dict) and isinstance(place.get(name), dict):
                self._merge(place[name], value, source=source, at=key)
            else:
                self._write(place, name, deepcopy(value), source=source, key=key)

    def _write(self, place: Tree, name: str, value: object, *, source: str, key: str) -> None:
        """The latest source stands last, and those of what is replaced are gone."""
        for old in [known for known in self.sources if known == key or known.startswith(f"{key}.")]:
            del self.sources[old]
        self.sources |= dict.fromkeys(_leaves(value, key), source)
        place[name] = value


def _leaves(value: object, key: str) -> Iterator[str]:
    """The dotted keys of all single values in `value`, which stands at `key`."""
    if value and isinstance(value, dict):
        for name, part in value.items():
            yield from _leaves(part, f"{key}.{name}")
    else:
        yield key
