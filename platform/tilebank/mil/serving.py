"""A saved head behind MLflow's pyfunc interface: a table of vectors in, a table of scores out.

Columns in, one row per instance: breast_id (str), kind ("view" | "tile"), vector (D numbers).
Columns out, one row per breast in order of first appearance: breast_id (str), score (float). A head with several
outputs gives score_0, score_1, ... instead; the head's metadata names them in this order under `answers`. This module
does not import MLflow.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tilebank.errors import HeadError
from tilebank.mil.bags.bags import BagBatch
from tilebank.mil.contract.outputs import Outputs
from tilebank.mil.heads.registry import Head, load_head, score_bags
from tilebank.terms import InstanceKind

_COLUMNS = ("breast_id", "kind", "vector")


class ServedHead:
    """One head that scores tables of instances."""

    def __init__(self, head: Head, *, metadata: Mapping[str, str]) -> None:
        if head.trials != 1:
            raise HeadError(f"the folder holds a pack of {head.trials} heads; serve one: select it, then save it")
        self.head = head
        self.metadata = dict(metadata)

    def predict(self, frame: pd.DataFrame, params: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Score every breast of `frame`. Takes no `params`. Raises HeadError for an invalid table."""
        if params:
            raise HeadError(f"unknown parameters {sorted(params)}; this head takes none")
        bags = _bags_of(frame, dim=self.head.dim)
        scores = score_bags(self.head, bags)[0]  # (B,) or (B, C)
        columns = zip(score_columns(self.head.outputs), scores.reshape(len(bags), -1).T, strict=True)
        return pd.DataFrame({"breast_id": list(bags.breast_ids), **dict(columns)})


def score_columns(outputs: Outputs) -> list[str]:
    """The names of the score columns of a head."""
    return ["score"] if outputs.kind == "binary" else [f"score_{output}" for output in range(outputs.count)]


def _load_pyfunc(path: str) -> ServedHead:
    """MLflow's entry point: the head saved in the folder `path`."""
    saved = load_head(Path(path))
    return ServedHead(saved.head, metadata=saved.metadata)


def _bags_of(frame: pd.DataFrame, *, dim: int) -> BagBatch:
    missing = [column for column in _COLUMNS if column not in frame.columns]
    if missing:
        raise HeadError(f"columns {missing} are missing, the table has {list(frame.columns)}; pass {list(_COLUMNS)}")
    foreign = [value for value in frame["breast_id"] if not isinstance(value, str)]
    if foreign:
        raise HeadError(
            f"{len(foreign)} values of breast_id are not strings, the first {foreign[0]!r}; pass ids as text"
        )
    kinds = frame["kind"].to_numpy(dtype=object)
    unknown = sorted({str(kind) for kind in kinds} - {kind.value for kind in InstanceKind})
    if unknown:
        raise HeadError(f"column kind holds {unknown}; it may hold {[kind.value for kind in InstanceKind]}")
    vectors = _stack(frame, dim=dim)
    owners, breast_ids = pd.factorize(frame["breast_id"])  # in order of first appearance
    views = _rows_by_breast(owners, kinds == InstanceKind.VIEW.value, breasts=len(breast_ids))
    tiles = _rows_by_breast(owners, kinds == InstanceKind.TILE.value, breasts=len(breast_ids))
    return BagBatch.from_arrays(
        view_features=vectors[views[0]],
        view_offsets=views[1],
        tile_features=vectors[tiles[0]],
        tile_offsets=tiles[1],
        breast_ids=[str(breast_id) for breast_id in breast_ids],
    )


def _stack(frame: pd.DataFrame, *, dim: int) -> NDArray[np.float32]:
    vectors = np.empty((len(frame), dim), dtype=np.float32)
    for row, (breast_id, vector) in enumerate(zip(frame["breast_id"], frame["vector"], strict=True)):
        if np.shape(vector) != (dim,):
            raise HeadError(
                f"row {row}, breast {breast_id}: the vector has shape {np.shape(vector)}, this head reads ({dim},); "
                "encode with the head's own encoder"
            )
        vectors[row] = vector
    return vectors


def _rows_by_breast(
    owners: NDArray[np.intp], wanted: NDArray[np.bool_], *, breasts: int
) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    rows = np.flatnonzero(wanted)
    rows = rows[np.argsort(owners[rows], kind="stable")]
    counts = np.bincount(owners[rows], minlength=breasts)
    return rows, np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
