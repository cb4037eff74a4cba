"""Seconds that the parts of a flow take, by name. Knows no flow."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Runs from its making on; a part that comes more than once is summed."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._parts: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """The block is of the part `name`."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._parts[name] = self._parts.get(name, 0.0) + time.perf_counter() - began

    @property
    def parts(self) -> dict[str, float]:
        """Seconds by part, in the order in which they first ended."""
        return dict(self._parts)

    @property
    def all_s(self) -> float:
        """Seconds since the start, what is in no part included."""
        return time.perf_counter() - self._began
