"""Read the tensors of a pickled checkpoint without running any code stored in it."""

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from tilebank.errors import EncoderError


class Unknown:
    """Placeholder for an object of a class that is not read: it accepts any arguments and keeps nothing."""

    def __new__(cls, *_: object) -> "Unknown":
        return super().__new__(cls)

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, _: object) -> None: ...


def read_tensors(path: Path, *, under: str = "") -> dict[str, Tensor]:
    """The state dict in a file of `torch.save`, or the one it holds under the key `under`.

    Only torch's own tensor types are made; every other class that the file names becomes an `Unknown`, so no code of
    the file, and no import that it asks for, is ever run. Raises EncoderError where the file is not of this kind.
    """
    try:
        foreign = torch.serialization.get_unsafe_globals_in_checkpoint(str(path))
        with torch.serialization.safe_globals([(Unknown, name) for name in foreign]):
            held = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (OSError, ValueError, RuntimeError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        raise EncoderError(
            f"{path} cannot be read as a checkpoint ({type(error).__name__}: {error}); give the file as published"
        ) from error
    state = held.get(under, held) if under and isinstance(held, Mapping) else held
    if not isinstance(state, Mapping):
        raise EncoderError(f"{path} holds no state dict; give the file as it was published")
    return {str(name): value for name, value in state.items() if isinstance(value, Tensor)}
