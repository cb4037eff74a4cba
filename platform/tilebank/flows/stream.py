"""The Ray Data pipelines: headers into a manifest, images into vectors. Composes stages; stores nothing."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import pyarrow as pa
import ray.data

from tilebank.datasets.registry import open_dataset
from tilebank.datasets.study import Manifest, ScannedImage
from tilebank.errors import EncoderError
from tilebank.flows.runtime import assert_resources, cluster_gpus, connect_ray
from tilebank.flows.settings import ExtractionConfig, Settings
from tilebank.flows.stages import FAILURE_COLUMNS, HEADER, NO_ENCODER, EncodeImages, read_images, scan_headers
from tilebank.terms import FailureRow, Laterality, ManifestRow

HEADERS_PER_TASK = 64


def read_manifest(settings: Settings) -> Manifest:
    """The dataset's manifest; where it is made from headers, they are read in parallel."""

    def scan(uris: Sequence[str]) -> Iterator[ScannedImage | FailureRow]:
        connect_ray()
        blocks = [
            pa.table({"uri": list(uris[i : i + HEADERS_PER_TASK])}) for i in range(0, len(uris), HEADERS_PER_TASK)
        ]
        headers = ray.data.from_arrow(blocks).map_batches(
            partial(scan_headers, root=settings.dataset.root),
            batch_format="pyarrow",
            batch_size=None,
            zero_copy_batch=True,
        )
        for row in _rows(headers):
            if row["failed_stage"]:
                yield FailureRow(row["image_id"], row["uri"], *(row[name] for name in FAILURE_COLUMNS))
            else:
                known = {name: row[name] for name in HEADER.names if name not in ("laterality", *FAILURE_COLUMNS)}
                yield ScannedImage(laterality=Laterality(row["laterality"]), **known)

    return open_dataset(settings.dataset).read_manifest(scan)


def encode_images(settings: Settings, pending: Sequence[ManifestRow]) -> Iterator[dict[str, Any]]:
    """One row an image, as they come out of the encoders: read and tiled in tasks, encoded in a pool of actors.

    The columns are those of `stages.EncodeImages`. Rows come in no fixed order; after a worker was lost an image may
    come twice. Raises EncoderError when the workers cannot load the encoder.
    """
    connect_ray()
    config = settings.extraction
    images = pa.Table.from_pylist([asdict(row) | {"laterality": row.laterality.value} for row in pending])
    step = config.images_per_task
    blocks = [images.slice(start, step) for start in range(0, images.num_rows, step)]
    read = partial(read_images, mask=settings.mask, tiling=settings.tiling, size_px=settings.encoder.input_size_px)
    gpus = _encoder_gpus(config)
    assert_resources(cpus=config.encoder_cpus, gpus=gpus)
    encoded = (
        ray.data.from_arrow(blocks)
        # A reservation that the next stage lacks also keeps Ray from fusing the two: fused, an encoder would decode.
        .map_batches(
            read, batch_format="pyarrow", batch_size=None, zero_copy_batch=True, memory=config.read_memory_mb * 1e6
        )
        .map_batches(
            EncodeImages,
            fn_constructor_args=(settings.encoder,),
            batch_format="pyarrow",
            batch_size=config.images_per_batch,
            zero_copy_batch=True,
            compute=ray.data.ActorPoolStrategy(size=config.encoders or max(1, cluster_gpus())),
            num_cpus=config.encoder_cpus,
            num_gpus=gpus,
        )
    )
    for row in _rows(encoded):
        if row["failed_stage"] == NO_ENCODER:
            raise EncoderError(row["failed_reason"])
        yield row


def _encoder_gpus(config: ExtractionConfig) -> float:
    return min(1, cluster_gpus()) if config.encoder_gpus < 0 else config.encoder_gpus


def _rows(dataset: Any) -> Iterator[dict[str, Any]]:
    for batch in dataset.iter_batches(batch_size=None, batch_format="pyarrow"):
        yield from batch.to_pylist()
