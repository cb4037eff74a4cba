"""The stages of an extraction: columns in, columns out. Each runs in a Ray worker; none knows the store.

`read_images`: manifest columns -> the same, plus what was seen, the plan of the instances and `pixels`, or a failure.
`EncodeImages`: those -> `vectors` in place of `pixels`.
`look_at_images`: manifest columns -> the same, plus what was seen, or a failure.
`scan_headers`: `uri` -> the pickled header, or a failure.

One row is one image, so that an image is never torn apart between blocks. Arrays of varying length travel as bytes:
pixels uint16 (n, S, S), boxes int32 (n, 4), tissue float32 (n,), vectors float16 (n, D); instance 0 is the whole view.
"""

import pickle
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa

from tilebank.datasets.folder import id_from_path
from tilebank.encoders.contract import EncoderConfig
from tilebank.encoders.registry import load_encoder
from tilebank.errors import EncoderError, ImageError
from tilebank.flows.engine.image_task import Expected, ImageRecipe, fetch, header_of, instances_of, look_at
from tilebank.flows.engine.isolation import Limits, isolated
from tilebank.store.schema import SEEN, instances_schema
from tilebank.terms import InstanceKind

Row = dict[str, Any]

FAILURE_COLUMNS = ("failed_stage", "failed_class", "failed_reason")
READ_AHEAD = 2  # files a reading task fetches at once
NO_ENCODER = "encoder"  # the stage of a failure that is nobody's image: the run stops
NO_FAILURE: Row = dict.fromkeys(FAILURE_COLUMNS, "")
FAILURE = pa.schema([(name, pa.string()) for name in FAILURE_COLUMNS])
PLAN = pa.schema(
    [("max_value", pa.int32()), ("flipped", pa.bool_())]
    + [(name, pa.large_binary()) for name in ("boxes", "tissue", "pixels")]
)
LOOK = pa.schema([("breast_fraction", pa.float32())])
HEADER = pa.schema([("uri", pa.string()), ("image_id", pa.string()), ("header", pa.binary()), *FAILURE])
# What a failed image has in place of pixels; the encode stage reads it as no instances.
NOTHING: Row = {"max_value": 0, "flipped": False, "boxes": b"", "tissue": b"", "pixels": b""}


def read_images(batch: pa.Table, *, recipe: ImageRecipe, limits: Limits) -> pa.Table:
    """manifest columns -> + those of SEEN, PLAN and FAILURE."""
    rows = [NOTHING | row for row in _through(instances_of, batch, recipe=recipe, limits=limits)]
    return _beside(batch, rows, schema=pa.schema([*SEEN, *PLAN, *FAILURE]))


def look_at_images(batch: pa.Table, *, recipe: ImageRecipe, limits: Limits) -> pa.Table:
    """manifest columns -> + those of SEEN, LOOK and FAILURE: all of a reading but the tiles."""
    rows = list(_through(look_at, batch, recipe=recipe, limits=limits))
    return _beside(batch, rows, schema=pa.schema([*SEEN, *LOOK, *FAILURE]))


class EncodeImages:
    """pixels, max_value -> vectors. Holds one loaded encoder for the life of its worker.

    An encoder that cannot be loaded fails every image with the stage NO_ENCODER: a worker that raised while it was made
    would be made again and again, and its reason be lost in Ray's own error.
    """

    def __init__(self, config: EncoderConfig) -> None:
        self._config = config
        self._refusal = ""
        try:
            self._encoder = load_encoder(config)
        except EncoderError as error:
            self._refusal = str(error)

    def __call__(self, batch: pa.Table) -> pa.Table:
        if self._refusal:
            return _refused(batch, self._refusal)
        size = self._config.input_size_px
        images = [np.frombuffer(buffer, np.uint16).reshape(-1, size, size) for buffer in _buffers(batch["pixels"])]
        counts = [len(image) for image in images]
        scale = np.repeat(batch["max_value"].to_numpy().astype(np.float32), counts)
        vectors = np.empty((0, self._config.dim), np.float16)
        if sum(counts):
            vectors = self._encoder.encode(np.concatenate(images), max_value=scale)
        pieces = np.split(vectors, np.cumsum(counts)[:-1])
        column = pa.array([np.ascontiguousarray(piece).tobytes() for piece in pieces], type=pa.large_binary())
        return batch.drop_columns(["pixels"]).append_column("vectors", column)


def _refused(batch: pa.Table, reason: str) -> pa.Table:
    said = dict(zip(FAILURE_COLUMNS, (NO_ENCODER, EncoderError.__name__, reason), strict=True))
    for name, text in said.items():
        batch = batch.set_column(batch.column_names.index(name), name, pa.array([text] * batch.num_rows))
    nothing = pa.array([b""] * batch.num_rows, type=pa.large_binary())
    return batch.drop_columns(["pixels"]).append_column("vectors", nothing)


def scan_headers(batch: pa.Table, *, root: str, limits: Limits) -> pa.Table:
    """uri -> uri, image_id, header (pickled, empty for a failure), and those of FAILURE."""
    rows = []
    for uri in batch["uri"].to_pylist():
        try:
            header = isolated(limits).call(header_of, uri)
            rows.append({"uri": uri, "image_id": header.sop_instance_uid, "header": pickle.dumps(header)} | NO_FAILURE)
        except ImageError as error:
            rows.append({"uri": uri, "image_id": id_from_path(root, uri), "header": b""} | failure_columns(error))
    return pa.Table.from_pylist(rows, schema=HEADER)


def instance_rows(row: dict[str, Any], *, dim: int, fingerprint: str) -> pa.Table:
    """The rows of the instances table for one encoded image: its view, then its tiles."""
    boxes = np.frombuffer(row["boxes"], np.int32).reshape(-1, 4)
    count = len(boxes)
    vectors = np.frombuffer(row["vectors"], np.float16)
    ids = ("image_id", "breast_id", "exam_id", "patient_id", "laterality", "view")
    constant = [pa.field(name, pa.string()) for name in ids] + list(SEEN)
    columns = {field.name: pa.repeat(pa.scalar(row[field.name], field.type), count) for field in constant}
    columns |= {
        "instance_id": pa.array([f"{row['image_id']}#{index}" for index in range(count)]),
        "kind": pa.array([InstanceKind.VIEW.value] + [InstanceKind.TILE.value] * (count - 1)),
        "instances": pa.repeat(pa.scalar(count, pa.int32()), count),
        "tissue_fraction": pa.array(np.frombuffer(row["tissue"], np.float32)),
        "flipped": pa.array([row["flipped"]] * count),
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors), dim),
        "fingerprint": pa.array([fingerprint] * count),
    }
    columns |= {name: pa.array(boxes[:, place]) for place, name in enumerate(("x", "y", "width", "height"))}
    schema = instances_schema(dim)
    return pa.table([columns[name] for name in schema.names], schema=schema)


def failure_columns(error: ImageError) -> Row:
    """A failure as columns: the stage, the class of what went wrong, the reason."""
    return dict(zip(FAILURE_COLUMNS, (error.stage, error.error_class, error.reason), strict=True))


def _through(function: Callable[..., Row], batch: pa.Table, *, recipe: ImageRecipe, limits: Limits) -> Iterator[Row]:
    """What `function` says of each image, or its failure. The next images are fetched while one is decoded."""
    images = batch.to_pylist()
    for image, content in zip(images, _fetched([image["uri"] for image in images]), strict=True):
        expected = Expected(image["laterality"], image["view"], image["sop_instance_uid"])
        try:
            if isinstance(content, ImageError):
                raise content
            yield isolated(limits).call(function, content, expected, recipe=recipe) | NO_FAILURE
        except ImageError as error:
            yield failure_columns(error)


def _fetched(uris: Sequence[str]) -> Iterator[bytes | ImageError]:
    """The files' bytes in order, READ_AHEAD of them under way at once."""
    with ThreadPoolExecutor(READ_AHEAD) as pool:
        yield from pool.map(_fetch, uris)


def _fetch(uri: str) -> bytes | ImageError:
    try:
        return fetch(uri)
    except ImageError as error:
        return error


def _beside(batch: pa.Table, rows: Sequence[Row], *, schema: pa.Schema) -> pa.Table:
    """`batch` with the columns of `rows` that `schema` names, in place of its own of that name."""
    columns = pa.Table.from_pylist(rows, schema=schema)
    kept = batch.drop_columns([name for name in schema.names if name in batch.column_names])
    for name in schema.names:
        kept = kept.append_column(name, columns[name])
    return kept


def _buffers(column: pa.ChunkedArray) -> list[memoryview]:
    """The bytes of each row, without a copy."""
    return [memoryview(value.as_buffer()) for chunk in column.chunks for value in chunk]
