"""Write the phantom study that a benchmark reads, optionally with every file in JPEG 2000."""

from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context

import cv2
import numpy as np

from tilebank.bench.measure import Bench
from tilebank.datasets.registry import open_dataset
from tilebank.files import exists, join_uri, write_bytes
from tilebank.phantom.truth import truth_tables
from tilebank.phantom.vendors import VENDORS
from tilebank.phantom.writer import PhantomConfig, plan_exams, write_exam, write_phantoms
from tilebank.terms import ManifestRow

IMAGES_AN_EXAM = 4
_MARKER = "phantom.json"  # by which the adapter recognises a complete study


def study_config(bench: Bench) -> PhantomConfig:
    """The study's size: the requested number of exams, or enough exams for the requested images."""
    sizes = bench.sizes
    exams = -(-sizes.images // IMAGES_AN_EXAM) or sizes.exams
    return PhantomConfig(patients=exams, max_exams=1, rows=sizes.rows, columns=sizes.columns)


def study_images(bench: Bench) -> tuple[ManifestRow, ...]:
    """The images of this run's study, which is written on all cores if it does not exist yet."""
    root = bench.settings.dataset.root
    if not bench.sizes.jpeg2000:
        write_phantoms(root, study_config(bench), processes=bench.cores)
    elif not exists(join_uri(root, _MARKER)):
        _write_jpeg2000(root, study_config(bench), processes=bench.cores)
    return open_dataset(bench.settings.dataset).read_manifest(lambda _uris: ()).images


def evenly_spaced(images: tuple[ManifestRow, ...], count: int) -> tuple[ManifestRow, ...]:
    """`count` evenly spaced images: each exam has one machine and one transfer syntax, so they cover all."""
    places = np.linspace(0, len(images) - 1, num=min(count, len(images))).round().astype(int)
    return tuple(images[place] for place in places)


def _write_jpeg2000(root: str, config: PhantomConfig, *, processes: int) -> None:
    """The planned study with every exam on a machine that writes JPEG 2000, in turn."""
    compressing = [name for name, vendor in VENDORS.items() if vendor.jpeg2000]
    exams = [
        replace(exam, vendor=compressing[number % len(compressing)]) for number, exam in enumerate(plan_exams(config))
    ]
    with ProcessPoolExecutor(
        processes, mp_context=get_context("spawn"), initializer=cv2.setNumThreads, initargs=(1,)
    ) as pool:
        written = [one for records in pool.map(partial(write_exam, root, config=config), exams) for one in records]
    for name, content in truth_tables(exams, written).items():
        write_bytes(join_uri(root, name), content)
    write_bytes(join_uri(root, _MARKER), b"{}")  # last; without a config, so that `write_phantoms` does not resume it
