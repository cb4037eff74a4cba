"""The Ray Data pipelines: headers into a manifest, images into vectors. Composes stages; stores nothing."""

import pickle
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pyarrow as pa
import ray.data

from tilebank.datasets.contract import Manifest, ScannedImage
from tilebank.datasets.registry import open_dataset
from tilebank.errors import EncoderError
from tilebank.flows.engine.cluster import assert_resources, cluster_gpus, connect_ray
from tilebank.flows.engine.image_task import ImageRecipe
from tilebank.flows.engine.isolation import Limits
from tilebank.flows.engine.stages import (
    FAILURE_COLUMNS,
    NO_ENCODER,
    EncodeImages,
    look_at_images,
    read_images,
    scan_headers,
)
from tilebank.flows.settings.settings import ExtractionConfig, Settings
from tilebank.terms import FailureRow, ManifestRow

HEADERS_PER_TASK = 64


def read_manifest(settings: Settings) -> Manifest:
    """The dataset's manifest; where it is made from headers, they are read in parallel."""
    return open_dataset(settings.dataset).read_manifest(lambda uris: read_headers(settings, uris))


def read_headers(settings: Settings, uris: Sequence[str]) -> Iterator[ScannedImage | FailureRow]:
    """The headers behind `uris`, read in parallel, in any order; what cannot be read is a failure."""
    connect_ray()
    blocks = [pa.table({"uri": list(uris[i : i + HEADERS_PER_TASK])}) for i in range(0, len(uris), HEADERS_PER_TASK)]
    scan = partial(scan_headers, root=settings.dataset.root, limits=limits_of(settings))
    for row in _rows(_mapped(blocks, scan)):
        if row["failed_stage"]:
            yield FailureRow(row["image_id"], row["uri"], *(row[name] for name in FAILURE_COLUMNS))
        else:
            yield ScannedImage(row["uri"], pickle.loads(row["header"]))


def look_at(settings: Settings, images: Sequence[ManifestRow]) -> Iterator[dict[str, Any]]:
    """One row an image with the columns of `stages.look_at_images`: read whole and masked, nothing encoded."""
    connect_ray()
    look = partial(look_at_images, recipe=recipe_of(settings), limits=limits_of(settings))
    yield from _rows(_mapped(_blocks(images, step=settings.extraction.images_per_task), look))


def recipe_of(settings: Settings) -> ImageRecipe:
    """All that shapes an image's instances."""
    return ImageRecipe(
        reader=settings.reader,
        mask=settings.mask,
        tiling=settings.tiling,
        size_px=settings.encoder.input_size_px,
        intake=settings.dataset.intake,
    )


def read_instances(settings: Settings, images: Sequence[ManifestRow]) -> Any:
    """The reading stage alone, as a lazy Ray dataset with the columns of `stages.read_images`."""
    read = partial(read_images, recipe=recipe_of(settings), limits=limits_of(settings))
    return _reading(_blocks(images, step=settings.extraction.images_per_task), read, settings.extraction)


def encode_images(settings: Settings, pending: Sequence[ManifestRow]) -> Iterator[dict[str, Any]]:
    """One row an image, as they come out of the encoders: read and tiled in tasks, encoded in a pool of actors.

    The columns are those of `stages.EncodeImages`. Rows come in no fixed order; after a worker was lost an image may
    come twice. Raises EncoderError when the workers cannot load the encoder.
    """
    connect_ray()
    config = settings.extraction
    gpus = _encoder_gpus(config)
    encoders = config.encoders or max(1, cluster_gpus())
    assert_resources(encoders=encoders, cpus=config.encoder_cpus, gpus=gpus, read_cpus=config.read_cpus)
    encoded = read_instances(settings, pending).map_batches(
        EncodeImages,
        fn_constructor_args=(settings.encoder,),
        batch_format="pyarrow",
        batch_size=config.images_per_batch,
        zero_copy_batch=True,
        compute=ray.data.ActorPoolStrategy(min_size=encoders, max_size=max(encoders, config.encoders_max)),
        num_cpus=config.encoder_cpus,
        num_gpus=gpus,
        memory=config.encoder_memory_mb * 1e6 or None,
    )
    for row in _rows(encoded):
        if row["failed_stage"] == NO_ENCODER:
            raise EncoderError(row["failed_reason"])
        yield row


def map_rows(
    settings: Settings, rows: Sequence[bytes], function: Callable[[pa.Table], pa.Table], *, name: str
) -> Iterator[dict[str, Any]]:
    """Each of `rows`, as a table of one row with the column `name`, through a stage that reads images."""
    connect_ray()
    blocks = [pa.table({name: pa.array([row], type=pa.large_binary())}) for row in rows]
    yield from _rows(_reading(blocks, function, settings.extraction))


def _encoder_gpus(config: ExtractionConfig) -> float:
    return min(1, cluster_gpus()) if config.encoder_gpus < 0 else config.encoder_gpus


def limits_of(settings: Settings) -> Limits:
    """What reading one image may cost."""
    return Limits(seconds=settings.extraction.image_seconds, memory_mb=settings.extraction.image_memory_mb)


def _blocks(images: Sequence[ManifestRow], *, step: int) -> list[pa.Table]:
    """The manifest as Arrow tables of `step` rows; what the reader finds out by itself is left out."""
    said = ("patient_id", "exam_id", "breast_id", "image_id", "view", "uri", "sop_instance_uid")
    rows = [{name: getattr(row, name) for name in said} | {"laterality": row.laterality.value} for row in images]
    table = pa.Table.from_pylist(rows, schema=pa.schema([(name, pa.string()) for name in (*said, "laterality")]))
    return [table.slice(start, step) for start in range(0, table.num_rows, step)]


def _mapped(blocks: Sequence[pa.Table], function: Callable[[pa.Table], pa.Table], **reserved: float) -> Any:
    """The blocks through one stage of tasks; a block stays as it is cut. reserved: what Ray sets aside for a task."""
    return ray.data.from_arrow(list(blocks)).map_batches(
        function, batch_format="pyarrow", batch_size=None, zero_copy_batch=True, **reserved
    )


def _reading(blocks: Sequence[pa.Table], function: Callable[[pa.Table], pa.Table], config: ExtractionConfig) -> Any:
    """The blocks through a stage that reads images.

    A reservation that the next stage lacks also keeps Ray from fusing the two: fused, an encoder would decode.
    """
    return _mapped(blocks, function, num_cpus=config.read_cpus, memory=config.read_memory_mb * 1e6)


def _rows(dataset: Any) -> Iterator[dict[str, Any]]:
    for batch in dataset.iter_batches(batch_size=None, batch_format="pyarrow"):
        yield from batch.to_pylist()
