"""What an extraction through Ray is held against: the encoder alone on ready tiles, and a plain loop in one process.

Each runs in a new process with a set number of threads. Knows neither Ray nor the store.
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

ALONE_S = 5.0  # the encoder alone is timed for at least as long, or for one batch


@dataclass(frozen=True)
class LoopRequest:
    """What a process is told: settings, images, and the file for its vectors."""

    settings: Settings
    images: tuple[ManifestRow, ...]
    out: str


@dataclass(frozen=True)
class Course:
    """One way through the images. Times are of one clock, that all processes of a machine share.

    marks: (when, how many images had their vectors by then), rising. peak_bytes: the most that the process held; 0
    where there are several.
    """

    variant: str
    began_s: float
    marks: tuple[tuple[float, int], ...]
    ended_s: float
    images: int
    peak_bytes: int = 0

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


def run_alone(settings: Settings, images: tuple[ManifestRow, ...], *, threads: int) -> float:
    """Tiles a second of the encoder alone, on the tiles of one batch of an extraction, which are ready in memory."""
    chosen = evenly_spaced(images, settings.extraction.images_per_batch)
    (rate,) = run_in_processes(_alone, [LoopRequest(settings, chosen, "")], threads=threads)
    return rate


def run_loop(settings: Settings, images: tuple[ManifestRow, ...], *, threads: int) -> Course:
    """The plain loop: read, cut, encode, one image after the other, vectors into one file."""
    out = join_uri(settings.home, f"loop-{threads}.npy")
    began_s = time.perf_counter()
    (course,) = run_in_processes(_loop, [LoopRequest(settings, images, out)], threads=threads)
    return replace(course, variant=f"(b) plain loop, {plural(threads, 'thread')}", began_s=began_s)


def course_of(marks: list[tuple[float, int]], *, images: int) -> Course:
    """What the calling process did until now; its caller knows its name and when it was started."""
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return Course("", 0.0, tuple(marks), ended_s=time.perf_counter(), images=images, peak_bytes=peak)


def _alone(request: LoopRequest) -> float:
    pixels, scale = _ready(request)
    encoder = load_encoder(request.settings.encoder)
    encoder.encode(pixels[:1], max_value=scale[:1])  # warms up
    began, calls = time.perf_counter(), 0
    while not calls or time.perf_counter() - began < ALONE_S:
        encoder.encode(pixels, max_value=scale)
        calls += 1
    return calls * len(pixels) / (time.perf_counter() - began)


def _ready(request: LoopRequest) -> tuple[NDArray[np.uint16], NDArray[np.float32]]:
    """The instances of all images (N, S, S) and their full scales (N,), as an encoding worker puts them together."""
    mammograms = [read_image(read_bytes(image.uri), request.settings) for image in request.images]
    pieces = [cut_image(mammogram, request.settings) for mammogram in mammograms]
    full = np.asarray([mammogram.max_value for mammogram in mammograms], np.float32)
    return np.concatenate(pieces), np.repeat(full, [len(piece) for piece in pieces])


def _loop(request: LoopRequest) -> Course:
    settings = request.settings
    encoder = load_encoder(settings.encoder)
    vectors, marks = [], []
    for image in request.images:
        mammogram = read_image(read_bytes(image.uri), settings)
        vectors.append(encoder.encode(cut_image(mammogram, settings), max_value=float(mammogram.max_value)))
        marks.append((time.perf_counter(), len(vectors)))
    np.save(request.out, np.concatenate(vectors))
    return course_of(marks, images=len(vectors))
