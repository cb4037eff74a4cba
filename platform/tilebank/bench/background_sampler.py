"""Looking at something while it is measured, in a thread of its own. Knows nothing of what is looked at."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def run_in_background(look: Callable[[threading.Event], None]) -> Iterator[None]:
    """Meanwhile `look(ended)` runs beside the block; it has to return soon after `ended` is set."""
    ended = threading.Event()
    watcher = threading.Thread(target=look, args=(ended,))
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
