"""Open HDF5 and NumPy files of other tools, behind a path or a URI, without unpickling."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from tilebank.files import is_local, open_file


@contextmanager
def open_h5(uri: str) -> Iterator[h5py.File]:
    """An HDF5 file for reading. Raises OSError for what is missing, cut short or no HDF5."""
    if is_local(uri):
        with h5py.File(uri, "r", locking="best-effort") as file:
            yield file
    else:
        with open_file(uri) as stream, h5py.File(stream, "r") as file:
            yield file


def open_npy(uri: str) -> NDArray[Any]:
    """A NumPy array: mapped from a disk, read whole from elsewhere. Raises OSError or ValueError."""
    if is_local(uri):
        mapped: NDArray[Any] = np.load(uri, mmap_mode="r", allow_pickle=False)
        return mapped
    with open_file(uri) as stream:
        return np.asarray(np.load(stream, allow_pickle=False))


def attributes_of(*held: h5py.HLObject) -> dict[str, str]:
    """The attributes of a file, group or dataset as text; of one name, that of the last of `held`.

    TRIDENT stores None as the text `None`: such an attribute says nothing and is left out. A whole number is the same
    whether it was kept as an integer or not.
    """
    found = {name: _as_text(value) for each in held for name, value in each.attrs.items()}
    return {name: text for name, text in found.items() if text not in ("", "None")}


def _as_text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, np.ndarray):
        return " ".join(_as_text(each) for each in value.ravel().tolist())
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)
