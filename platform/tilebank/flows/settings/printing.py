"""Write resolved settings as YAML, with the place that wrote each value as a comment."""

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from tilebank.flows.settings.settings import Settings


def settings_as_yaml(settings: Settings, sources: Mapping[str, str]) -> str:
    """All settings, one value a line. `sources`: dotted key -> where it was written; a default of the code has none."""
    return "\n".join(_lines(settings.model_dump(mode="json"), sources, key="", indent=""))


def _lines(tree: Mapping[str, Any], sources: Mapping[str, str], *, key: str, indent: str) -> Iterator[str]:
    for name, value in tree.items():
        place = f"{key}.{name}" if key else str(name)
        if value and isinstance(value, dict):
            yield f"{indent}{name}:"
            yield from _lines(value, sources, key=place, indent=f"{indent}  ")
        else:
            text = yaml.safe_dump({name: value}, default_flow_style=True, width=10**6).strip()[1:-1]
            yield f"{indent}{text}" + (f"  # {sources[place]}" if place in sources else "")
