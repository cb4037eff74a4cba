"""Hash everything that shapes a vector into a stable fingerprint."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any


def fingerprint_of(parts: Mapping[str, Any]) -> str:
    """Sixteen hexadecimal digits (64 bits) of the SHA-256 of `parts` in canonical JSON."""
    return hashlib.sha256(canonical(parts).encode()).hexdigest()[:16]


def canonical(parts: Mapping[str, Any]) -> str:
    """`parts` as canonical JSON: equal texts for equal parts.

    `parts` holds JSON values, enums, paths or frozen dataclasses of them. The order of keys does not matter; any other
    change does. Raises TypeError for a value with no canonical form, so that nothing is written by its memory address.
    """
    return json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False, default=_plain)


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return value.as_posix()
    raise TypeError(f"no canonical form for {type(value).__name__} in a fingerprint; pass plain values or dataclasses")
