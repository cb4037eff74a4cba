"""Configuration files into frozen, checked settings. Owns `conf/`, `--set` and the messages; knows no component.

A setting's value comes from, weakest first: the file in `conf/`, the environment, a flag, `--set`. Whatever is wrong is
said with the place it came from, the key, and the nearest key that exists, before any work is started.
"""

import dataclasses
import difflib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from tilebank.errors import ConfigError, TilebankError

Tree = dict[str, Any]
S = TypeVar("S", bound=BaseModel)


def conf_folder() -> Path:
    """The folder of configuration files: $TILEBANK_CONF, else `conf/` here, else `conf/` of the checkout."""
    named = os.environ.get("TILEBANK_CONF")
    places = [Path(named)] if named else [Path.cwd() / "conf", Path(__file__).resolve().parents[2] / "conf"]
    for place in places:
        if (place / "platform.yaml").is_file():
            return place
    tried = " and ".join(str(place) for place in places)
    raise ConfigError(f"no platform.yaml in {tried}; run from the checkout or set TILEBANK_CONF to its conf folder")


def known_names(kind: str) -> list[str]:
    """Names that a flag such as `--dataset` may take: the files in `conf/<kind>/`."""
    return sorted(path.stem for path in (conf_folder() / kind).glob("*.yaml"))


def read_conf(kind: str, name: str) -> tuple[Tree, str]:
    """`conf/<kind>/<name>.yaml` and its name for messages. Raises ConfigError for an unknown name."""
    names = known_names(kind)
    if name not in names:
        raise ConfigError(f"unknown {kind.rstrip('s')} {name!r}{nearest(name, names)}; known: {', '.join(names)}")
    return _read_yaml(conf_folder() / kind / f"{name}.yaml"), f"conf/{kind}/{name}.yaml"


def read_platform_conf() -> tuple[Tree, str]:
    """The platform's defaults, `conf/platform.yaml`, and its name for messages."""
    return _read_yaml(conf_folder() / "platform.yaml"), "conf/platform.yaml"


def apply_overrides(tree: Tree, pairs: Sequence[str]) -> dict[str, str]:
    """Write each `key=value` (dotted key, YAML value) into `tree`; return {key: where it came from} for messages."""
    sources = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise ConfigError(f"--set {pair!r} is not key=value; write it as --set tiling.overlap=0.25")
        *path, last = key.split(".")
        place = tree
        for step in path:
            place = place.setdefault(step, {})
            if not isinstance(place, dict):
                raise ConfigError(f"--set {pair}: {step!r} is a single value, it has no keys below it")
        try:
            place[last] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"--set {pair}: the value is not YAML ({error})") from error
        sources[key] = f"--set {pair}"
    return sources


def build_settings(into: type[S], tree: Tree, sources: Mapping[str, str]) -> S:
    """Check `tree` against the frozen model `into`. `sources` maps dotted key prefixes to where they were written.

    Raises ConfigError with every problem: the place, the key, what is wrong, and the nearest known key.
    """
    try:
        return into.model_validate(tree)
    except ValidationError as error:
        lines = [_explain(into, problem, sources) for problem in error.errors()]
        raise ConfigError("\n".join(dict.fromkeys(lines))) from None
    except TilebankError as error:  # a component refused its own part, and says itself what and why
        raise ConfigError(str(error)) from None


def _explain(into: type[BaseModel], problem: Any, sources: Mapping[str, str]) -> str:
    path = [str(step) for step in problem["loc"]]
    key = ".".join(path)
    source = _source_of(path, sources)
    if problem["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        known = _keys_at(into, path[:-1])
        return f"{source}: unknown key {key!r}{nearest(path[-1], known)}; known here: {', '.join(known)}"
    if problem["type"] in ("missing", "missing_argument"):
        return f"{source}: key {key!r} is missing"
    if problem["type"] in ("tuple_type", "list_type"):
        return f"{source}: {key!r} is {problem['input']!r}, one value; write a list, such as [{problem['input']}]"
    shown = "" if isinstance(problem["input"], dict) else f" is {problem['input']!r}"  # a part is too long to repeat
    return f"{source}: {key!r}{shown}: {problem['msg'].removeprefix('Value error, ')}"


def _source_of(path: Sequence[str], sources: Mapping[str, str]) -> str:
    """Where a key was written: itself, else a key below it (a part refused as a whole), else what it is part of."""
    key = ".".join(path)
    below = [known for known in sources if known.startswith(f"{key}.")]
    prefixes = [".".join(path[:length]) for length in range(len(path), -1, -1)]
    return next((sources[known] for known in [*below, *prefixes] if known in sources), "the configuration")


def _keys_at(into: Any, path: Sequence[str]) -> list[str]:
    kind = into
    for step in path:
        mapping = get_origin(kind) is dict  # any key, and one kind of value
        kind = get_args(kind)[1] if mapping else _fields(kind).get(step)
    return sorted(_fields(kind))


def _fields(kind: Any) -> dict[str, Any]:
    kind = next((each for each in get_args(kind) if each is not NoneType), kind)  # what `X | None` may be
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return {name: field.annotation for name, field in kind.model_fields.items()}
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return {field.name: field.type for field in dataclasses.fields(kind)}
    return {}


def nearest(word: str, known: Sequence[str]) -> str:
    """The end of a message about an unknown `word`: what was perhaps meant, or nothing."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _read_yaml(path: Path) -> Tree:
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{path.name} cannot be read: {error}") from error
    if not isinstance(tree, dict):
        raise ConfigError(f"{path.name} holds no keys")
    return tree
