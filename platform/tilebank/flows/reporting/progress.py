"""Progress bars: shown on a terminal only, redrawn every few seconds even where the work is slow."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")

REDRAW_S = 2.0
_shown = True


def show_bars(*, shown: bool) -> None:
    """Whether the bars of this process are drawn at all: --no-progress and -q switch them off."""
    global _shown
    _shown = shown


@contextmanager
def progress_bar(what: str, *, unit: str, total: int | None = None, leave: bool = True) -> Iterator[Any]:
    """A tqdm bar on stderr; nothing is drawn where stderr is not a terminal, bars are off, or `total` is 0.

    A thread redraws it, so that the elapsed time moves while one step takes long.
    """
    from tqdm import tqdm

    disable = True if total == 0 or not _shown else None  # None: tqdm looks whether stderr is a terminal
    with tqdm(total=total, unit=unit, desc=what, leave=leave, dynamic_ncols=True, disable=disable) as bar:
        ended = threading.Event()
        clock = threading.Thread(target=_redraw, args=(bar, ended), daemon=True)
        if not bar.disable:
            clock.start()
        try:
            yield bar
        finally:
            ended.set()
            if clock.is_alive():
                clock.join()


def with_progress(things: Iterable[T], *, what: str, unit: str, total: int, leave: bool = True) -> Iterator[T]:
    """`things` one by one, each counted by a bar when the caller is done with it."""
    with progress_bar(what, unit=unit, total=total, leave=leave) as bar:
        for thing in things:
            yield thing
            bar.update()


def _redraw(bar: Any, ended: threading.Event) -> None:
    while not ended.wait(REDRAW_S):
        bar.refresh()
