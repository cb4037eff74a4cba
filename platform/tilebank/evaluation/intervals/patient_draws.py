"""Draw bootstrap samples of patients: how often each patient is in each replicate.

Draws follow the sorted patient ids: replicate i of one seed holds the same patients for every statistic, every head and
every order of rows, so replicates of two heads can be subtracted.

Shapes: R replicates (r of them at a time), P patients, B breasts or other rows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tilebank.errors import DatasetError

_CELLS_AT_ONCE = 1_000_000  # replicates x rows held at a time: 8 MB an array


@dataclass(frozen=True, eq=False)
class Patients:
    """The patient of each row, as a number."""

    place: NDArray[np.intp]  # (B,) 0..P-1 by sorted id
    count: int

    @classmethod
    def of(cls, patients: Sequence[str], breasts: int) -> "Patients":
        """Raises DatasetError unless there is one id for each of the breasts, and more than one patient."""
        if len(patients) != breasts:
            raise DatasetError(f"{len(patients)} patient ids for {breasts} scores; pass the patient of every breast")
        names, place = np.unique(np.asarray(patients, dtype=np.str_), return_inverse=True)
        if names.size < 2:
            raise DatasetError("one patient cannot be resampled; an interval needs two or more")
        return cls(place, int(names.size))


def draw_counts(patients: int, breasts: int, replicates: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """How often each patient was drawn: (r, P) at a time. The size of a piece changes no draw.

    breasts: how many numbers a replicate takes in memory at most; it sizes the piece. Raises DatasetError.
    """
    if replicates < 1:
        raise DatasetError(f"{replicates} replicates give no interval; ask for 1000 or more")
    rng = np.random.default_rng(seed)
    at_once = max(1, _CELLS_AT_ONCE // breasts)
    for start in range(0, replicates, at_once):
        rows = min(at_once, replicates - start)
        drawn = rng.integers(0, patients, size=(rows, patients))  # (r, P) patients, with replacement
        drawn += np.arange(rows)[:, None] * patients  # own bins for every replicate: one bincount for all
        yield np.bincount(drawn.ravel(), minlength=rows * patients).reshape(rows, patients)
