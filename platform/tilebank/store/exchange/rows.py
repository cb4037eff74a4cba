"""Turn a slide's features into rows of the instances table."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tilebank.store.exchange.provenance import Slide
from tilebank.store.schema import instances_schema
from tilebank.terms import InstanceKind, SlideOwner


def slide_rows(slide: Slide, *, slide_id: str, owner: SlideOwner, fingerprint: str) -> pa.Table:
    """One row a tile, numbered in the file's order. What is not known (side, view, box, tissue) is null, or no text."""
    tiles, dim = slide.vectors.shape
    schema, header = instances_schema(dim), slide.header
    text = {
        "image_id": slide_id,
        "breast_id": owner.breast_id,
        "exam_id": owner.exam_id,
        "patient_id": owner.patient_id,
        "laterality": "",
        "view": "",
        "kind": InstanceKind.TILE.value,
        "fingerprint": fingerprint,
    }
    side = header.tile_px if slide.corners is not None else 0
    numbers = {"instances": tiles, "width": side, "height": side, "rows": header.rows, "columns": header.columns}
    known = {name: pa.repeat(pa.scalar(value, pa.string()), tiles) for name, value in text.items()}
    known |= {name: pa.repeat(pa.scalar(value, pa.int32()), tiles) for name, value in numbers.items() if value}
    known["instance_id"] = pa.array([f"{slide_id}#{number}" for number in range(tiles)], pa.string())
    known["flipped"] = pa.repeat(pa.scalar(False, pa.bool_()), tiles)  # noqa: FBT003 (pyarrow's own signature)
    known["vector"] = pa.FixedSizeListArray.from_arrays(pa.array(slide.vectors.reshape(-1)), dim)
    if slide.corners is not None:
        known |= {"x": _column(slide.corners, 0), "y": _column(slide.corners, 1)}
    columns = [known.get(field.name, pa.nulls(tiles, field.type)) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def _column(corners: NDArray[np.int32], place: int) -> pa.Array:
    return pa.array(np.ascontiguousarray(corners[:, place]), pa.int32())
