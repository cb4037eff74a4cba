"""Make what many tests read once, however many processes run them."""

import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from filelock import FileLock

T = TypeVar("T")


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], T]) -> tuple[Path, T]:
    """The folder `name`, and what `make(folder)` returned: the first process that asks makes it, the others wait.

    Whoever wants to change the folder takes a copy. What `make` returns is pickled.
    """
    base = factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, returned = shared / name, shared / f"{name}.pickle"
    with FileLock(shared / f"{name}.lock"):
        if not returned.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a process that failed
            folder.mkdir()
            returned.write_bytes(pickle.dumps(make(folder)))
    return folder, pickle.loads(returned.read_bytes())
