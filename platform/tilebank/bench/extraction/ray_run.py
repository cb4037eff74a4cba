"""One extraction through Ray, watched: when its images were stored, what its processes held, what its blocks weigh."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import ray
from pyarrow import compute

from tilebank.bench.background_sampler import run_in_background
from tilebank.bench.extraction.phantom_study import evenly_spaced
from tilebank.bench.extraction.plain_loop import Course
from tilebank.bench.measure import BenchRow, compare_rates, plural
from tilebank.bench.memory import MemoryTracker, track_memory
from tilebank.errors import StoreError
from tilebank.flows.engine.cluster import cluster_gpus
from tilebank.flows.engine.pipelines import read_instances
from tilebank.flows.extract.extract import extract
from tilebank.flows.settings.settings import Settings
from tilebank.store.tables import Store
from tilebank.terms import ManifestRow

LOOK_S = 0.2  # how often the table is looked at, and no more than a tenth of the time
WEIGHED = 8  # images whose blocks are weighed


@dataclass(frozen=True)
class Transport:
    """Bytes of `images` images on their way from the readers to the encoders.

    blocks: as Ray counts what lies in its object store; pixels: those of the tiles and views alone, as they are sent.
    """

    images: int
    blocks: int
    pixels: int


@dataclass(frozen=True)
class RayRun:
    """What was seen of the run. tiles: of an image, the mean, its view counted too."""

    course: Course
    encoders: int
    gpus: int
    tiles: float
    memory: MemoryTracker
    transport: Transport


def run_ray(settings: Settings, images: tuple[ManifestRow, ...]) -> RayRun:
    """The extraction into a fresh store. A Ray that was started for it is ended. Raises StoreError for less work."""
    was_there = ray.is_initialized()
    with track_memory() as memory, _watched(settings) as seen:
        began_s = time.perf_counter()
        summary = extract(settings)
        ended_s = time.perf_counter()
    gpus = cluster_gpus()
    transport = _weigh(settings, evenly_spaced(images, WEIGHED))
    if not was_there:
        ray.shutdown()
    if summary.images != len(images):
        raise StoreError(f"{summary.images} of {len(images)} images were stored; the timing would be of less work")
    marks = (*seen, (ended_s, len(images)))
    return RayRun(
        Course("(c) Tilebank through Ray", began_s, marks, ended_s, summary.images),
        encoders=settings.extraction.encoders or max(1, gpus),
        gpus=gpus,
        tiles=(summary.views + summary.tiles) / summary.images,
        memory=memory,
        transport=transport,
    )


def transport_rows(transport: Transport, *, what: str) -> list[BenchRow]:
    """Megabytes an image: pixels alone, and the blocks that carry them."""
    alone = "pixels of the tiles and the view"
    each = transport.images * 1e6
    note = f"as Ray counts them; {plural(transport.images, 'image')} read again for it"
    variants = [
        (alone, transport.pixels / each, ""),
        ("blocks from readers to encoders", transport.blocks / each, note),
    ]
    return compare_rates(what, variants, unit="MB/image", reference=alone)


def _weigh(settings: Settings, images: tuple[ManifestRow, ...]) -> Transport:
    """The reading stage once more for some images, its blocks kept until they are counted."""
    kept = read_instances(settings, images).materialize()
    batches = kept.iter_batches(batch_size=None, batch_format="pyarrow")
    pixels = sum(compute.sum(compute.binary_length(batch["pixels"])).as_py() for batch in batches)
    return Transport(len(images), blocks=int(kept.size_bytes()), pixels=pixels)


@contextmanager
def _watched(settings: Settings) -> Iterator[list[tuple[float, int]]]:
    """Meanwhile look at the store now and then; the list receives when, and how many images are in it."""
    seen: list[tuple[float, int]] = []
    fingerprint = settings.fingerprint

    def look(ended: threading.Event) -> None:
        took_s = 0.0
        while not ended.wait(max(LOOK_S, 10 * took_s)):
            began_s = time.perf_counter()
            if count := _count_stored(settings, fingerprint):
                seen.append((time.perf_counter(), count))
            took_s = time.perf_counter() - began_s

    with run_in_background(look):
        yield seen


def _count_stored(settings: Settings, fingerprint: str) -> int:
    try:
        table = Store(settings.store).find_instances(settings.dataset.name, settings.encoder.name)
    except StoreError:
        return 0  # the table is being made at this moment
    return table.count_instances(fingerprint)["view"] if table else 0
