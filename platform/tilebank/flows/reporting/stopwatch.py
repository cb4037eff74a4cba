"""Measure the seconds that each named part of a flow takes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Runs from its making on; a part that comes more than once is summed."""

    def __init__(self, *parts: str) -> None:
        self._began = time.perf_counter()
        self._parts = dict.fromkeys(parts, 0.0)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """The block is of the part `name`."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._parts[name] += time.perf_counter() - began

    @property
    def parts(self) -> dict[str, float]:
        """Seconds by part, in the order in which they were named at the start."""
        return dict(self._parts)

    @property
    def all_s(self) -> float:
        """Seconds since the start, what is in no part included."""
        return time.perf_counter() - self._began
