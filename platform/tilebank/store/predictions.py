"""Write and read the predictions of one run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tilebank.errors import StoreError
from tilebank.files import exists, join_uri
from tilebank.storage_errors import storage_reason
from tilebank.store.commits import open_table
from tilebank.store.schema import sql_literal, table_name

COLUMNS = ("breast_id", "patient_id", "split", "label", "score")


@dataclass(frozen=True, eq=False)
class Predicted:
    """The breasts of one split that a run scored, by breast id: label 0/1 (B,) and probability (B,)."""

    breast_ids: tuple[str, ...]
    patient_ids: tuple[str, ...]
    labels: NDArray[np.int64]
    scores: NDArray[np.floating[Any]]


def answer_columns(scores: Sequence[float]) -> dict[str, object]:
    """The columns of a breast's scores: `score` holds a single one, `scores` those of classes or labels."""
    if len(scores) == 1:
        return {"score": scores[0], "scores": None}
    return {"score": None, "scores": list(scores)}


def read_predictions(store_uri: str, *, dataset: str, encoder: str, run_id: str) -> dict[str, Predicted]:
    """split -> the predictions of one run; a split without rows is left out, as all are where there is no table.

    Raises StoreError.
    """
    name = table_name("predictions", dataset, encoder)
    place = join_uri(store_uri, f"{name}.lance")
    try:
        if not exists(place):
            return {}
        rows = open_table(place).to_table(columns=list(COLUMNS), filter=f"run_id = {sql_literal(run_id)}")
    except (OSError, ValueError) as error:
        raise StoreError(f"cannot read table {name} in {store_uri}: {storage_reason(error, store_uri)}") from error
    rows = rows.sort_by("breast_id")
    split = rows["split"].to_numpy()
    return {part: _predicted(rows.filter(pa.array(split == part))) for part in sorted(set(split.tolist()))}


def _predicted(rows: pa.Table) -> Predicted:
    return Predicted(
        breast_ids=tuple(rows["breast_id"].to_pylist()),
        patient_ids=tuple(rows["patient_id"].to_pylist()),
        labels=rows["label"].to_numpy().astype(np.int64),
        scores=rows["score"].to_numpy(),
    )
