"""Baselines of an extraction: the encoder on tiles in memory, and a plain loop over images in one process.

Each runs in a new process with a fixed number of threads, without Ray and without the store.
"""

import resource
import time
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tilebank.bench.extraction.images import cut_image, read_image
from tilebank.bench.extraction.phantom_study import evenly_spaced
from tilebank.bench.measure import plural, run_in_processes
from tilebank.encoders.registry import load_encoder
from tilebank.files import join_uri, read_bytes
from tilebank.flows.settings.settings import Settings
from tilebank.terms import ManifestRow

ENCODER_S = 5.0  # the encoder is timed for at least this long, or for one batch


@dataclass(frozen=True)
class LoopRequest:
    """Input of a process: settings, images, and the file for its vectors."""

    settings: Settings
    images: tuple[ManifestRow, ...]
    out: str


@dataclass(frozen=True)
class ExtractionRun:
    """Timing of one extraction. Times are of one clock, which all processes of a machine share.

    marks: (time, images encoded by then), increasing. peak_bytes: peak memory of the process; 0 if there are several.
    """

    variant: str
    began_s: float
    marks: tuple[tuple[float, int], ...]
    ended_s: float
    images: int
    peak_bytes: int = 0

    @property
    def start_up_s(self) -> float:
        """Seconds until the first vectors."""
        return self.marks[0][0] - self.began_s

    @property
    def whole_rate(self) -> float:
        """Images per second of the whole run."""
        return self.images / (self.ended_s - self.began_s)

    @property
    def later_rate(self) -> float:
        """Images per second after half of them were encoded; 0 if all came at once.

        Measuring from the first image would favour Ray, which reads ahead while its encoders start.
        """
        when, done = next(mark for mark in self.marks if 2 * mark[1] >= self.images)
        return (self.images - done) / (self.ended_s - when) if done < self.images else 0.0


def time_encoder(settings: Settings, images: tuple[ManifestRow, ...], *, threads: int) -> float:
    """Tiles per second of the encoder on one extraction batch of tiles, already in memory."""
    chosen = evenly_spaced(images, settings.extraction.images_per_batch)
    (rate,) = run_in_processes(_encoder_rate, [LoopRequest(settings, chosen, "")], threads=threads)
    return rate


def run_loop(settings: Settings, images: tuple[ManifestRow, ...], *, threads: int) -> ExtractionRun:
    """The plain loop: read, cut and encode one image after the other, and write one file of vectors."""
    out = join_uri(settings.home, f"loop-{threads}.npy")
    began_s = time.perf_counter()
    (run,) = run_in_processes(_loop, [LoopRequest(settings, images, out)], threads=threads)
    return replace(run, variant=f"(b) plain loop, {plural(threads, 'thread')}", began_s=began_s)


def finish_run(marks: list[tuple[float, int]], *, images: int) -> ExtractionRun:
    """The timing of the calling process; the caller adds its name and start time."""
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return ExtractionRun("", 0.0, tuple(marks), ended_s=time.perf_counter(), images=images, peak_bytes=peak)


def _encoder_rate(request: LoopRequest) -> float:
    pixels, scale = _tiles_in_memory(request)
    encoder = load_encoder(request.settings.encoder)
    encoder.encode(pixels[:1], max_value=scale[:1])  # warms up
    began, calls = time.perf_counter(), 0
    while not calls or time.perf_counter() - began < ENCODER_S:
        encoder.encode(pixels, max_value=scale)
        calls += 1
    return calls * len(pixels) / (time.perf_counter() - began)


def _tiles_in_memory(request: LoopRequest) -> tuple[NDArray[np.uint16], NDArray[np.float32]]:
    """The instances of all images (N, S, S) and their maximum values (N,), as an encoding worker batches them."""
    mammograms = [read_image(read_bytes(image.uri), request.settings) for image in request.images]
    pixels = [cut_image(mammogram, request.settings) for mammogram in mammograms]
    full = np.asarray([mammogram.max_value for mammogram in mammograms], np.float32)
    return np.concatenate(pixels), np.repeat(full, [len(each) for each in pixels])


def _loop(request: LoopRequest) -> ExtractionRun:
    settings = request.settings
    encoder = load_encoder(settings.encoder)
    vectors, marks = [], []
    for image in request.images:
        mammogram = read_image(read_bytes(image.uri), settings)
        vectors.append(encoder.encode(cut_image(mammogram, settings), max_value=float(mammogram.max_value)))
        marks.append((time.perf_counter(), len(vectors)))
    np.save(request.out, np.concatenate(vectors))
    return finish_run(marks, images=len(vectors))
