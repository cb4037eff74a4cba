"""Time the work on single images: writing a phantom, reading, cutting tiles."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tilebank.bench.extraction.phantom_study import IMAGES_AN_EXAM, evenly_spaced, study_config, study_images
from tilebank.bench.measure import Bench, BenchRow, PartResult, best_seconds, compare_rates, run_in_processes
from tilebank.files import join_uri, read_bytes, remove_folder
from tilebank.flows.settings.settings import Settings
from tilebank.imaging.dicom.reader import read_stored
from tilebank.imaging.instances import cut_instances
from tilebank.imaging.reader import Mammogram, read_mammogram
from tilebank.phantom.writer import write_phantoms
from tilebank.terms import ManifestRow

__all__ = ["bench_phantom", "bench_read", "cut_image", "read_image"]

SYNTAXES = {"1.2.840.10008.1.2.1": "uncompressed", "1.2.840.10008.1.2.4.90": "JPEG 2000"}  # DICOM PS3.6, table A-1


@dataclass(frozen=True)
class _ReadTimes:
    """Seconds of each stage for one image, the best of several runs each."""

    syntax: str
    bytes_s: float
    decode_s: float
    present_s: float
    cut_s: float

    @property
    def whole_s(self) -> float:
        return self.bytes_s + self.decode_s + self.present_s + self.cut_s


@dataclass(frozen=True)
class _ReadRequest:
    settings: Settings
    images: tuple[ManifestRow, ...]
    repeats: int


def bench_phantom(bench: Bench) -> PartResult:
    """Write the whole study with one process, and with one process per core."""
    sizes = bench.sizes
    single, parallel = "1 process", f"1 process per core ({bench.cores})"
    apart = join_uri(bench.settings.home, "phantom-alone")
    one_s = best_seconds(lambda: write_phantoms(apart, study_config(bench), processes=1), repeats=1)
    remove_folder(apart)
    all_s = best_seconds(lambda: study_images(bench), repeats=1)
    images = IMAGES_AN_EXAM * study_config(bench).patients
    variants = [(single, images / one_s, ""), (parallel, images / all_s, "including process start")]
    rows = compare_rates("phantom", variants, unit="images/s", reference=single)
    return PartResult(tuple(rows), f"{images} images of {sizes.rows} x {sizes.columns}; 1 run each")


def bench_read(bench: Bench) -> PartResult:
    """From bytes to tiles, stage by stage, on one thread: rates, and shares of the total time."""
    images = evenly_spaced(study_images(bench), bench.sizes.read_images)
    request = _ReadRequest(bench.settings, images, repeats=bench.sizes.repeats)
    (times,) = run_in_processes(_time_reading, [request], threads=1)
    stages = [("all: bytes to tiles", times, "whole_s"), ("read the bytes", times, "bytes_s")]
    for syntax in sorted({one.syntax for one in times}):
        among = [one for one in times if one.syntax == syntax]
        stages.append((f"decode, {SYNTAXES.get(syntax, syntax)}", among, "decode_s"))
    stages += [("window + mask", times, "present_s"), ("plan + cut", times, "cut_s")]
    rows = []
    for variant, among, name in stages:
        stage_s, whole_s = (sum(getattr(one, key) for one in among) for key in (name, "whole_s"))
        rate, note = len(among) / stage_s, f"{1000 * stage_s / len(among):.1f} ms; {len(among)} images"
        rows.append(BenchRow("read", variant, rate, "images/s", stage_s / whole_s, "of the total time", note))
    how = f"1 thread, files in the page cache; best of {request.repeats} for each image and stage, summed"
    return PartResult(tuple(rows), how)


def read_image(content: bytes, settings: Settings) -> Mammogram:
    """One image, read as in an extraction, in this process."""
    return read_mammogram(content, reader=settings.reader, mask=settings.mask)


def cut_image(mammogram: Mammogram, settings: Settings) -> NDArray[np.uint16]:
    """The view and the tiles of an image, ready for the encoder: (N, S, S)."""
    size_px = settings.encoder.input_size_px
    cut = cut_instances(mammogram, reader=settings.reader, mask=settings.mask, tiling=settings.tiling, size_px=size_px)
    return cut.pixels


def _time_reading(request: _ReadRequest) -> list[_ReadTimes]:
    return [_time_image(image, request) for image in request.images]


def _time_image(image: ManifestRow, request: _ReadRequest) -> _ReadTimes:
    settings, repeats = request.settings, request.repeats
    content = read_bytes(image.uri)
    mammogram = read_image(content, settings)
    decode_s = best_seconds(lambda: read_stored(content), repeats=repeats)
    return _ReadTimes(
        mammogram.header.transfer_syntax,
        bytes_s=best_seconds(lambda: read_bytes(image.uri), repeats=repeats),
        decode_s=decode_s,
        present_s=max(0.0, best_seconds(lambda: read_image(content, settings), repeats=repeats) - decode_s),
        cut_s=best_seconds(lambda: cut_image(mammogram, settings), repeats=repeats),
    )
