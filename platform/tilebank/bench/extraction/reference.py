"""Extract features as the method's released code does, for comparison.

Each image is decoded twice, once for its view and once for its tiles; 8 bit PIL images pass the owner's processor in
float32; the output is one HDF5 group per breast. One process, no fingerprint, no resume.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from itertools import groupby

import h5py
import numpy as np
from numpy.typing import NDArray

from tilebank.bench.extraction.images import read_image
from tilebank.bench.extraction.plain_loop import ExtractionRun, LoopRequest, finish_run
from tilebank.bench.measure import plural, run_in_processes
from tilebank.encoders.huggingface.reference import load_reference
from tilebank.files import join_uri, read_bytes
from tilebank.flows.settings.settings import Settings
from tilebank.imaging.breast import chest_wall_on_right
from tilebank.imaging.reader import Mammogram
from tilebank.imaging.tiling import cut_tiles, plan_tiles, plan_view
from tilebank.terms import ManifestRow, TileBox

Plan = Callable[[Mammogram], list[TileBox]]


def run_reference(settings: Settings, images: tuple[ManifestRow, ...], *, threads: int) -> ExtractionRun:
    """Extract features from the images as the reference code does."""
    request = LoopRequest(settings, images, join_uri(settings.home, "reference.h5"))
    began_s = time.perf_counter()
    (run,) = run_in_processes(_reference, [request], threads=threads)
    return replace(run, variant=f"(d) reference code, {plural(threads, 'thread')}", began_s=began_s)


def _reference(request: LoopRequest) -> ExtractionRun:
    settings, size_px = request.settings, request.settings.encoder.input_size_px
    encoder = load_reference(settings.encoder)

    def encode(image: ManifestRow, plan: Plan) -> NDArray[np.float32]:
        mammogram = read_image(read_bytes(image.uri), settings)
        flip = settings.tiling.flip_to_left and chest_wall_on_right(mammogram.breast)
        tiles = cut_tiles(mammogram.pixels, plan(mammogram), size_px=size_px, flip=flip)  # (N, S, S)
        return encoder.encode((tiles * (255 / mammogram.max_value)).astype(np.uint8))

    def tiles_of(mammogram: Mammogram) -> list[TileBox]:
        return [tile.box for tile in plan_tiles(mammogram.breast, settings.tiling, size_px=size_px)]

    marks, done = [], 0
    with h5py.File(request.out, "w") as file:
        for breast_id, of_breast in groupby(request.images, key=lambda image: image.breast_id):
            views = list(of_breast)
            group = file.create_group(breast_id)
            group["views"] = np.concatenate([encode(image, _view_of) for image in views])
            group["tiles"] = np.concatenate([encode(image, tiles_of) for image in views])
            done += len(views)
            marks.append((time.perf_counter(), done))
    return finish_run(marks, images=done)


def _view_of(mammogram: Mammogram) -> list[TileBox]:
    return [plan_view(mammogram.breast).box]
