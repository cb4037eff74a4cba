"""Define where a lease is kept: a small object, created once and replaced only by who read its latest version."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class LeaseObject:
    """An object as it stood. tag: changes with every write. age_s: since the last write, by the place's own clock.

    The place's clock, not the reader's: both times come from the server (or the file system), so that clocks of two
    hosts that differ can make nobody look dead.
    """

    content: bytes
    tag: str
    age_s: float


class LeaseBackend(Protocol):
    """One object. Everything that goes wrong is an OSError."""

    def read(self) -> LeaseObject | None:
        """The object, None where there is none."""
        ...

    def create(self, content: bytes) -> LeaseObject | None:
        """Write it where there is none; None when another was first."""
        ...

    def replace(self, content: bytes, *, found: LeaseObject) -> LeaseObject | None:
        """Write over what was found; None when it is not that any more."""
        ...

    def remove(self) -> None:
        """Take it away, if it is there."""
        ...
