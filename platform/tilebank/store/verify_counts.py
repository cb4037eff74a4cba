"""Count, per image, what `verify` checks in a batch of instance rows.

`rows`, `views`, `first_views` (numbered 0), `tiles`, `misnamed`, `not_finite`, `not_unit`: how many. `last`: the
highest number. `claimed`: a sum of what the rows say that their image has. `mix`: a sum of scrambled numbers, that of
0..last only where each stands once (but for one broken image in 2^31).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tilebank.terms import InstanceKind

IMAGE = ("fingerprint", "image_id")
OWNERS = ("breast_id", "exam_id", "patient_id", "laterality")
SUMS = ("rows", "views", "first_views", "tiles", "misnamed", "not_finite", "not_unit", "claimed", "mix")
NUMBERED = r"^(?s:(?P<image>.*))#(?P<number>0|[1-9][0-9]{0,8})$"
EXPONENT = np.uint16(0x7C00)  # all ones: infinite or not a number (IEEE 754, binary16)
NORM_TOLERANCE = 0.01  # a length of 1 in float16, whose values are off by a 2048th at most, is well within


def count_rows(batch: pa.RecordBatch, *, unit_norm: bool) -> pa.Table:
    """One row an image and owner of `batch`, with the counts.

    Columns: IMAGE, OWNERS, instance_id, kind, instances, vector.
    """
    parts = pc.extract_regex(batch["instance_id"], NUMBERED)
    named = pc.fill_null(pc.equal(pc.struct_field(parts, "image"), batch["image_id"]), fill_value=False)
    named = named.to_numpy(zero_copy_only=False)
    number = pc.fill_null(pc.cast(pc.struct_field(parts, "number"), pa.int64()), 0).to_numpy()
    is_view = _is(batch, InstanceKind.VIEW)
    finite, unit = _vectors(batch, unit_norm=unit_norm)
    counts = {
        "rows": np.ones(batch.num_rows),
        "views": is_view,
        "first_views": is_view & named & (number == 0),
        "tiles": _is(batch, InstanceKind.TILE),
        "misnamed": ~named,
        "not_finite": ~finite,
        "not_unit": finite & ~unit,
        "claimed": pc.fill_null(pc.cast(batch["instances"], pa.int64()), 0).to_numpy(),
        "mix": _scrambled(number),
        "last": number,
    }
    columns = {name: batch[name] for name in (*IMAGE, *OWNERS)}
    columns |= {name: pa.array(values.astype(np.int64)) for name, values in counts.items()}
    return fold([pa.table(columns)], by=(*IMAGE, *OWNERS))


def fold(tables: Sequence[pa.Table], *, by: Sequence[str]) -> pa.Table:
    """Counts added up, one row a key."""
    if not tables:
        strings = {name: pa.array([], pa.string()) for name in by}
        return pa.table(strings | {name: pa.array([], pa.int64()) for name in (*SUMS, "last")})
    sums = [(name, "sum") for name in SUMS]
    folded = pa.concat_tables(tables).group_by(list(by)).aggregate([*sums, ("last", "max")])
    return folded.rename_columns([*by, *SUMS, "last"])


def expected_mix(last: NDArray[np.int64]) -> NDArray[np.int64]:
    """The `mix` of an image whose instances are numbered 0 to `last`, each once."""
    sums = np.cumsum(_scrambled(np.arange(int(last.max(initial=-1)) + 1)))
    return np.asarray(sums[last]) if len(last) else last


def _scrambled(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """31 bits of each number's splitmix64 (Steele, Lea, Flood 2014): sums of them do not overflow."""
    z = (numbers.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray((z ^ (z >> np.uint64(31))) >> np.uint64(33)).astype(np.int64)


def _is(batch: pa.RecordBatch, kind: InstanceKind) -> NDArray[np.bool_]:
    equal = pc.fill_null(pc.equal(batch["kind"], kind.value), fill_value=False)
    return np.asarray(equal.to_numpy(zero_copy_only=False))


def _vectors(batch: pa.RecordBatch, *, unit_norm: bool) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether each vector is finite, and whether its length is 1 (or nobody says that it should be)."""
    column: Any = batch["vector"]
    values = column.values.slice(column.offset * column.type.list_size, len(column) * column.type.list_size)
    bits = values.to_numpy(zero_copy_only=False).view(np.uint16).reshape(len(column), -1)  # (N, D)
    finite = ~((bits & EXPONENT) == EXPONENT).any(axis=1) & column.is_valid().to_numpy(zero_copy_only=False)
    if not unit_norm:
        return finite, np.ones(len(column), np.bool_)
    features = bits.view(np.float16).astype(np.float32)
    lengths = np.sqrt(np.einsum("nd,nd->n", features, features))
    return finite, np.abs(lengths - 1) <= NORM_TOLERANCE
