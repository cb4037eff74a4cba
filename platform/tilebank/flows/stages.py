"""The stages of an extraction: columns in, columns out. Each runs in a Ray worker; none knows the store.

`read_images`: manifest columns -> the same, plus `pixels` and the plan of the instances, or a failure.
`EncodeImages`: those -> `vectors` in place of `pixels`.
`scan_headers`: `uri` -> the header's columns, or a failure.

One row is one image, so that an image is never torn apart between blocks. Arrays of varying length travel as bytes:
pixels uint16 (n, S, S), boxes int32 (n, 4), tissue float32 (n,), vectors float16 (n, D); instance 0 is the whole view.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa

from tilebank.datasets.folder import unplaced_id
from tilebank.encoders.registry import load_encoder
from tilebank.encoders.spec import EncoderConfig
from tilebank.errors import EncoderError, ImageError
from tilebank.files import open_file, read_bytes
from tilebank.imaging.breast import MaskConfig, breast_mask
from tilebank.imaging.dicom import ImageHeader, Mammogram, read_header, read_mammogram
from tilebank.imaging.instances import cut_instances
from tilebank.imaging.tiling import TilingConfig
from tilebank.store.schema import instances_schema
from tilebank.terms import InstanceKind

Row = dict[str, Any]

FAILURE_COLUMNS = ("failed_stage", "failed_class", "failed_reason")
NO_ENCODER = "encoder"  # the stage of a failure that is nobody's image: the run stops
NO_FAILURE: Row = dict.fromkeys(FAILURE_COLUMNS, "")
PLAN = pa.schema(
    [("max_value", pa.int32()), ("flipped", pa.bool_()), ("boxes", pa.large_binary()), ("tissue", pa.large_binary())]
    + [(name, pa.string()) for name in FAILURE_COLUMNS]
)
HEADER = pa.schema(
    [(name, pa.string()) for name in ("uri", "image_id", "patient_id", "study_uid", "accession_number", "laterality")]
    + [(name, pa.string()) for name in ("view", "manufacturer", *FAILURE_COLUMNS)]
)
NOTHING: Row = {"max_value": 0, "flipped": False, "boxes": b"", "tissue": b"", "pixels": b""}


def read_images(batch: pa.Table, *, mask: MaskConfig, tiling: TilingConfig, size_px: int) -> pa.Table:
    """manifest columns -> + pixels, max_value, flipped, boxes, tissue, failed_stage, failed_class, failed_reason."""
    rows = []
    for image in batch.to_pylist():
        try:
            mammogram = _read(image["uri"], image_id=image["image_id"])
            rows.append(_instances_of(mammogram, mask=mask, tiling=tiling, size_px=size_px) | NO_FAILURE)
        except ImageError as error:
            rows.append(NOTHING | failure_columns(error))
    columns = pa.Table.from_pylist(rows, schema=pa.schema([*PLAN, ("pixels", pa.large_binary())]))
    for name in columns.column_names:
        batch = batch.append_column(name, columns[name])
    return batch


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


def scan_headers(batch: pa.Table, *, root: str) -> pa.Table:
    """uri -> uri, image_id, patient_id, study_uid, accession_number, laterality, view, manufacturer, failed_*."""
    rows = []
    for uri in batch["uri"].to_pylist():
        try:
            header = asdict(_header(uri))
            rows.append({"uri": uri} | {name: header.get(name, "") for name in HEADER.names[1:-3]} | NO_FAILURE)
        except ImageError as error:
            rows.append({"uri": uri, "image_id": unplaced_id(root, uri)} | failure_columns(error))
    return pa.Table.from_pylist(rows, schema=HEADER)


def instance_rows(row: dict[str, Any], *, dim: int, fingerprint: str) -> pa.Table:
    """The rows of the instances table for one encoded image: its view, then its tiles."""
    boxes = np.frombuffer(row["boxes"], np.int32).reshape(-1, 4)
    count = len(boxes)
    vectors = np.frombuffer(row["vectors"], np.float16)
    constant = {name: row[name] for name in ("image_id", "breast_id", "exam_id", "patient_id", "laterality", "view")}
    columns = {name: pa.array([value] * count, pa.string()) for name, value in constant.items()}
    columns |= {
        "instance_id": pa.array([f"{row['image_id']}#{index}" for index in range(count)]),
        "kind": pa.array([InstanceKind.VIEW.value] + [InstanceKind.TILE.value] * (count - 1)),
        "tissue_fraction": pa.array(np.frombuffer(row["tissue"], np.float32)),
        "flipped": pa.array([row["flipped"]] * count),
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors), dim),
        "fingerprint": pa.array([fingerprint] * count),
    }
    columns |= {name: pa.array(boxes[:, place]) for place, name in enumerate(("x", "y", "width", "height"))}
    schema = instances_schema(dim)
    return pa.table([columns[name] for name in schema.names], schema=schema)


def failure_columns(error: ImageError) -> Row:
    """A failure as columns: the stage, the class of what went wrong beneath, the reason."""
    cause = error.__cause__ or error
    return dict(zip(FAILURE_COLUMNS, (error.stage, type(cause).__name__, error.reason), strict=True))


def _read(uri: str, *, image_id: str) -> Mammogram:
    with _reading():
        content = read_bytes(uri)
    mammogram = read_mammogram(content)
    if mammogram.header.image_id != image_id:
        raise ImageError("identify", "the file holds another image than the manifest says (SOP Instance UID differs)")
    return mammogram


def _header(uri: str) -> ImageHeader:
    with _reading(), open_file(uri) as source:
        return read_header(source)


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ImageError("read", f"the file cannot be read ({type(error).__name__})") from error


def _instances_of(mammogram: Mammogram, *, mask: MaskConfig, tiling: TilingConfig, size_px: int) -> Row:
    """The whole view, then its tiles, cut at the encoder's size."""
    breast = breast_mask(mammogram.pixels, mask)
    cut = cut_instances(mammogram.pixels, breast, mask=mask, tiling=tiling, size_px=size_px)
    boxes = [(tile.box.x, tile.box.y, tile.box.width, tile.box.height) for tile in cut.plan]
    return {
        "max_value": mammogram.max_value,
        "flipped": cut.flipped,
        "boxes": np.asarray(boxes, np.int32).tobytes(),
        "tissue": np.asarray([tile.tissue_fraction for tile in cut.plan], np.float32).tobytes(),
        "pixels": cut.pixels.tobytes(),
    }


def _buffers(column: pa.ChunkedArray) -> list[memoryview]:
    """The bytes of each row, without a copy."""
    return [memoryview(value.as_buffer()) for chunk in column.chunks for value in chunk]
