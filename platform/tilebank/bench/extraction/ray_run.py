"""Run one extraction through Ray and record when images were stored, the memory of processes, and block sizes."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import ray
from pyarrow import compute

from tilebank.bench.background_sampler import run_in_background
from tilebank.bench.extraction.phantom_study import evenly_spaced
from tilebank.bench.extraction.plain_loop import ExtractionRun
from tilebank.bench.measure import BenchRow, compare_rates, plural
from tilebank.bench.memory import MemoryTracker, track_memory
from tilebank.errors import StoreError
from tilebank.flows.engine.cluster import cluster_gpus
from tilebank.flows.engine.pipelines import read_instances
from tilebank.flows.extract.extract import extract
from tilebank.flows.settings.settings import Settings
from tilebank.store.tables import Store
from tilebank.terms import ManifestRow

SAMPLE_S = 0.2  # seconds between looks at the table, which may take at most a tenth of the time
MEASURED_IMAGES = 8  # images whose blocks are measured


@dataclass(frozen=True)
class Transport:
    """Bytes of `images` images between readers and encoders.

    blocks: size in Ray's object store, as Ray reports it; pixels: the pixels of tiles and views only.
    """

    images: int
    blocks: int
    pixels: int


@dataclass(frozen=True)
class RayRun:
    """Results of the run. tiles: mean number per image, including the view."""

    timing: ExtractionRun
    encoders: int
    gpus: int
    tiles: float
    memory: MemoryTracker
    transport: Transport


def run_ray(settings: Settings, images: tuple[ManifestRow, ...]) -> RayRun:
    """Extract into a new store; shut Ray down if this started it. Raises StoreError if images are missing."""
    was_there = ray.is_initialized()
    with track_memory() as memory, _stored_over_time(settings) as seen:
        began_s = time.perf_counter()
        summary = extract(settings)
        ended_s = time.perf_counter()
    gpus = cluster_gpus()
    transport = _measure_blocks(settings, evenly_spaced(images, MEASURED_IMAGES))
    if not was_there:
        ray.shutdown()
    if summary.images != len(images):
        raise StoreError(f"{summary.images} of {len(images)} images were stored; the timing would not be comparable")
    marks = (*seen, (ended_s, len(images)))
    return RayRun(
        ExtractionRun("(c) Tilebank through Ray", began_s, marks, ended_s, summary.images),
        encoders=settings.extraction.encoders or max(1, gpus),
        gpus=gpus,
        tiles=(summary.views + summary.tiles) / summary.images,
        memory=memory,
        transport=transport,
    )


def transport_rows(transport: Transport, *, what: str) -> list[BenchRow]:
    """Megabytes per image: the pixels, and the blocks that carry them."""
    pixels = "pixels of the tiles and the view"
    each = transport.images * 1e6
    note = f"as Ray reports it; {plural(transport.images, 'image')}"
    variants = [
        (pixels, transport.pixels / each, ""),
        ("blocks from readers to encoders", transport.blocks / each, note),
    ]
    return compare_rates(what, variants, unit="MB/image", reference=pixels)


def _measure_blocks(settings: Settings, images: tuple[ManifestRow, ...]) -> Transport:
    """Run the reading stage again for some images and measure its blocks."""
    kept = read_instances(settings, images).materialize()
    batches = kept.iter_batches(batch_size=None, batch_format="pyarrow")
    pixels = sum(compute.sum(compute.binary_length(batch["pixels"])).as_py() for batch in batches)
    return Transport(len(images), blocks=int(kept.size_bytes()), pixels=pixels)


@contextmanager
def _stored_over_time(settings: Settings) -> Iterator[list[tuple[float, int]]]:
    """Sample the store during the block; the list receives (time, images stored)."""
    seen: list[tuple[float, int]] = []
    fingerprint = settings.fingerprint

    def sample(ended: threading.Event) -> None:
        took_s = 0.0
        while not ended.wait(max(SAMPLE_S, 10 * took_s)):
            began_s = time.perf_counter()
            if count := _count_stored(settings, fingerprint):
                seen.append((time.perf_counter(), count))
            took_s = time.perf_counter() - began_s

    with run_in_background(sample):
        yield seen


def _count_stored(settings: Settings, fingerprint: str) -> int:
    try:
        table = Store(settings.store).find_instances(settings.dataset.name, settings.encoder.name)
    except StoreError:
        return 0  # the table is just being created
    return table.count_instances(fingerprint)["view"] if table else 0
