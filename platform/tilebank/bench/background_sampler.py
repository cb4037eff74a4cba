"""Sample something in a background thread while it is measured."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def run_in_background(sample: Callable[[threading.Event], None]) -> Iterator[None]:
    """Run `sample(ended)` in a thread during the block; it must return soon after `ended` is set."""
    ended = threading.Event()
    thread = threading.Thread(target=sample, args=(ended,))
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
