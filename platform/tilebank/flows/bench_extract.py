"""Timing of a whole extraction through Ray against a plain loop over the same images. Both keep their vectors."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import ray

from tilebank.encoders.registry import load_encoder
from tilebank.errors import StoreError
from tilebank.files import join_uri, read_bytes
from tilebank.flows.bench_images import cut_image, read_image, study_images
from tilebank.flows.bench_measure import Bench, BenchRow, PartResult, compared, counted, in_processes
from tilebank.flows.extract import extract
from tilebank.flows.runtime import cluster_gpus
from tilebank.flows.settings import Settings
from tilebank.store.tables import Store
from tilebank.terms import ManifestRow

_Limit = tuple[float, str, str]  # images a second, its name, how it was found

LOOK_S = 0.2  # how often the table is looked at: a few milliseconds each, that Ray does not get


@dataclass(frozen=True)
class _LoopRequest:
    settings: Settings
    images: tuple[ManifestRow, ...]
    out: str


@dataclass(frozen=True)
class _Course:
    """One way through the images. Times are of one clock, that all processes of a machine share.

    marks: (when, how many images had their vectors by then), rising. encode_s: mean time of an image in the encoder,
    of a plain loop.
    """

    variant: str
    began_s: float
    marks: tuple[tuple[float, int], ...]
    ended_s: float
    images: int
    encode_s: float = 0.0

    @property
    def start_up_s(self) -> float:
        """Until the first vectors were there."""
        return self.marks[0][0] - self.began_s

    @property
    def whole_rate(self) -> float:
        """Images a second of the whole run."""
        return self.images / (self.ended_s - self.began_s)

    @property
    def later_rate(self) -> float:
        """Images a second once half of them had their vectors; 0 when all came at once.

        Not from the first ones on: Ray reads ahead while its encoders start, and would be given that for nothing.
        """
        when, done = next(mark for mark in self.marks if 2 * mark[1] >= self.images)
        return (self.images - done) / (self.ended_s - when) if done < self.images else 0.0


def bench_extract(bench: Bench) -> PartResult:
    """Images a second with start-up and without, and how much of what the hardware could do is done."""
    images = study_images(bench)
    settings = _with_early_commits(bench.settings)
    threads = max(1, int(settings.extraction.encoder_cpus))
    loops = [_run_loop(settings, images, threads=count) for count in sorted({threads, bench.cores})]
    through_ray, encoders, gpus = _run_ray(settings, images)
    courses = [*loops, through_ray]
    limits = [_encoder_limit(loops[0], encoders)]
    if not gpus:  # with a GPU, what the cores could do is not the limit
        limits.append(_core_limit(loops[0], bench.cores / threads))
    rows = _rows("whole run", [(each, each.whole_rate, _start_up(each)) for each in courses], limits)
    if all(each.later_rate for each in courses):
        rows += _rows("second half", [(each, each.later_rate, "") for each in courses], limits)
    commit = settings.extraction.commit_images
    return PartResult(tuple(rows), f"{len(images)} images, a fresh store, commits of {commit}; 1 run each")


def _rows(name: str, rates: list[tuple[_Course, float, str]], limits: list[_Limit]) -> list[BenchRow]:
    """All courses against the faster loop, then the last one, which is Ray's, against the limits."""
    what, unit = f"extract, {name}", "images/s"
    fastest_loop, _, _ = max(rates[:-1], key=lambda each: each[1])
    variants = [(course.variant, rate, note) for course, rate, note in rates]
    rows = compared(what, variants, unit=unit, reference=fastest_loop.variant)
    through_ray, rate, _ = rates[-1]
    return rows + [
        BenchRow(what, through_ray.variant, rate, unit, rate / limit, to, note) for limit, to, note in limits
    ]


def _encoder_limit(loop: _Course, encoders: int) -> _Limit:
    """Images a second if the encoders never waited for an image; its name; how it was found."""
    rate = 1 / loop.encode_s
    return encoders * rate, "encoders never wait", f"{encoders} x {rate:.2f} images/s, the encoder alone"


def _core_limit(loop: _Course, loops: float) -> _Limit:
    """The same if as many loops ran as there are cores for, each as fast as it is alone."""
    first_s, first = loop.marks[0]
    rate = (loop.images - first) / (loop.ended_s - first_s)
    return loops * rate, "cores never wait", f"{loops:g} x {rate:.2f} images/s, the loop after its first image"


def _start_up(course: _Course) -> str:
    return f"{course.start_up_s:.1f} s to the first {counted(course.marks[0][1], 'image')}"


def _with_early_commits(settings: Settings) -> Settings:
    """Commit as often as an encoder hands images back, so that the end of the start-up can be seen."""
    extraction = replace(settings.extraction, commit_images=settings.extraction.images_per_batch)
    return settings.model_copy(update={"extraction": extraction})


def _run_loop(settings: Settings, images: tuple[ManifestRow, ...], *, threads: int) -> _Course:
    out = join_uri(settings.home, f"loop-{threads}.npy")
    began_s = time.perf_counter()
    (course,) = in_processes(_loop, [_LoopRequest(settings, images, out)], threads=threads)
    return replace(course, variant=f"plain loop, {counted(threads, 'thread')}", began_s=began_s)


def _loop(request: _LoopRequest) -> _Course:
    """Read, cut, encode, one image after the other, vectors into one file."""
    settings = request.settings
    encoder = load_encoder(settings.encoder)
    vectors, marks, encode_s = [], [], []
    for image in request.images:
        mammogram = read_image(read_bytes(image.uri), settings)
        tiles = cut_image(mammogram, settings)
        before_s = time.perf_counter()
        vectors.append(encoder.encode(tiles, max_value=float(mammogram.max_value)))
        now_s = time.perf_counter()
        marks.append((now_s, len(vectors)))
        encode_s.append(now_s - before_s)
    np.save(request.out, np.concatenate(vectors))
    return _Course(
        variant="",
        began_s=0.0,
        marks=tuple(marks),
        ended_s=time.perf_counter(),
        images=len(vectors),
        encode_s=float(np.mean(encode_s[1:] or encode_s)),  # the first one warms up
    )


def _run_ray(settings: Settings, images: tuple[ManifestRow, ...]) -> tuple[_Course, int, int]:
    """The extraction into a fresh store, its encoders, and GPUs. A Ray that was started for it is ended."""
    was_there = ray.is_initialized()
    with _watched(settings) as seen:
        began_s = time.perf_counter()
        summary = extract(settings)
        ended_s = time.perf_counter()
    gpus = cluster_gpus()
    if not was_there:
        ray.shutdown()
    if summary.images != len(images):
        raise StoreError(f"{summary.images} of {len(images)} images were stored; the timing would be of less work")
    course = _Course("through Ray", began_s, (*seen, (ended_s, len(images))), ended_s, summary.images)
    return course, settings.extraction.encoders or max(1, gpus), gpus


@contextmanager
def _watched(settings: Settings) -> Iterator[list[tuple[float, int]]]:
    """Meanwhile look at the store now and then; the list receives when, and how many images are in it."""
    seen: list[tuple[float, int]] = []
    ended = threading.Event()
    fingerprint = settings.fingerprint

    def look() -> None:
        while not ended.wait(LOOK_S):
            if count := _count_stored(settings, fingerprint):
                seen.append((time.perf_counter(), count))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield seen
    finally:
        ended.set()
        watcher.join()


def _count_stored(settings: Settings, fingerprint: str) -> int:
    try:
        table = Store(settings.store).find_instances(settings.dataset.name, settings.encoder.name)
    except StoreError:
        return 0  # the table is being made at this moment
    return len(table.done_images(fingerprint)) if table else 0
