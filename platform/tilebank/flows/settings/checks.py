"""Check a settings tree against its frozen model, and explain each problem: where, which key, what to write."""

import dataclasses
from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema, core_schema

from tilebank.config import Tree, nearest
from tilebank.errors import ConfigError, TilebankError

S = TypeVar("S", bound=BaseModel)


@dataclasses.dataclass(frozen=True)
class ChosenBy:
    """Marks a setting that is one of several dataclasses: the value of its key `key` says which of `choices`."""

    key: str
    choices: Mapping[str, type]

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Pydantic's own hook."""
        return core_schema.tagged_union_schema(
            {name: handler.generate_schema(choice) for name, choice in self.choices.items()}, discriminator=self.key
        )


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
    path, known = _place_of(into, [str(step) for step in problem["loc"]])
    key = ".".join(path)
    source = _source_of(path, sources)
    if problem["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"{source}: unknown key {key!r}{nearest(path[-1], known)}; known here: {', '.join(known)}"
    if problem["type"] in ("missing", "missing_argument"):
        return f"{source}: key {key!r} is missing"
    if problem["type"] == "union_tag_not_found":
        return f"{source}: key '{key}.{problem['ctx']['discriminator'].strip(chr(39))}' is missing"
    if problem["type"] == "union_tag_invalid":
        word, choices = problem["ctx"]["tag"], problem["ctx"]["expected_tags"].replace("'", "").split(", ")
        named = f"{key}.{problem['ctx']['discriminator'].strip(chr(39))}"
        return f"{source}: {named!r} is {word!r}{nearest(word, choices)}; choose one of {', '.join(choices)}"
    if problem["type"] in ("tuple_type", "list_type"):
        return f"{source}: {key!r} is {problem['input']!r}, one value; write a list, such as [{problem['input']}]"
    shown = "" if isinstance(problem["input"], dict) else f" is {problem['input']!r}"  # a part is too long to repeat
    return f"{source}: {key!r}{shown}: {problem['msg'].removeprefix('Value error, ')}"


def _source_of(path: Sequence[str], sources: Mapping[str, str]) -> str:
    """Where a key was written: itself, else the last key below it (a part refused as a whole), else what holds it."""
    key = ".".join(path)
    below = [known for known in sources if known.startswith(f"{key}.")][-1:]
    prefixes = [".".join(path[:length]) for length in range(len(path), -1, -1)]
    return next((sources[known] for known in [*below, *prefixes] if known in sources), "the configuration")


def _place_of(into: Any, loc: Sequence[str]) -> tuple[list[str], list[str]]:
    """The dotted key of a problem, and the keys that are known beside it. `loc` names a choice too, which is no key."""
    path: list[str] = []
    kind, known = into, sorted(_fields(into))
    for step in loc:
        chosen = next((mark.choices for mark in getattr(kind, "__metadata__", ()) if isinstance(mark, ChosenBy)), None)
        if chosen is not None and step in chosen:
            kind = chosen[step]
            continue
        fields = _fields(kind)
        known = sorted(fields)
        path.append(step)
        kind = fields.get(step, get_args(kind)[1] if get_origin(kind) in (dict, Mapping) else None)
    return path, known


def _fields(kind: Any) -> dict[str, Any]:
    if get_origin(kind) in (Union, UnionType):  # a part or null
        return next((found for choice in get_args(kind) if (found := _fields(choice))), {})
    if isinstance(kind, type) and (issubclass(kind, BaseModel) or dataclasses.is_dataclass(kind)):
        names = kind.model_fields if issubclass(kind, BaseModel) else [field.name for field in dataclasses.fields(kind)]
        hints = get_type_hints(kind, include_extras=True)
        return {name: hints[name] for name in names}
    return {}
