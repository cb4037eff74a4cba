"""Define where a lease is kept: a small object, created once and replaced only by who read its latest version."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class LeaseObject:
    """The object as it was read. tag: changes with every write. age_s: since the last write, by the storage's clock.

    Both times come from the server (or the file system), so that clocks of two hosts that differ cannot make a holder
    look dead.
    """

    content: bytes
    tag: str
    age_s: float


class LeaseBackend(Protocol):
    """One object. Every method raises OSError when it fails."""

    def read(self) -> LeaseObject | None:
        """The object, or None if there is none."""
        ...

    def create(self, content: bytes) -> LeaseObject | None:
        """Create it; None if it exists."""
        ...

    def replace(self, content: bytes, *, found: LeaseObject) -> LeaseObject | None:
        """Replace the version that was read; None if it has changed."""
        ...

    def remove(self) -> None:
        """Delete it if it exists."""
        ...
