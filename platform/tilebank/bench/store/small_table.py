"""Time commits of whole images and reading them back as bags, against plain .npy files."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tilebank.bench.measure import Bench, BenchRow, PartResult, best_seconds, compare_rates
from tilebank.bench.store.random_rows import (
    DATASET,
    ENCODER,
    FINGERPRINT,
    INSTANCES_AN_IMAGE,
    breast_of,
    rows_of_images,
)
from tilebank.files import remove_folder
from tilebank.store.reader import Reader
from tilebank.store.tables import Store

DIMS = (110, 1152, 1536)  # texture, MedSigLIP, DINOv2 giant
IMAGES_A_COMMIT = 32


def bench_store(bench: Bench) -> PartResult:
    """Write and read the same vectors as a table and as .npy files, at three dimensions."""
    sizes = bench.sizes
    chunk = f"{IMAGES_A_COMMIT} images x {INSTANCES_AN_IMAGE} instances"
    how = f"{sizes.commits} chunks of {chunk}; files in the page cache; best of {sizes.repeats}"
    return PartResult(tuple(row for dim in DIMS for row in _bench_dim(bench, dim)), how)


def _bench_dim(bench: Bench, dim: int) -> list[BenchRow]:
    commits, repeats = bench.sizes.commits, bench.sizes.repeats
    vectors = (
        np.random.default_rng(dim)
        .standard_normal((commits, IMAGES_A_COMMIT, INSTANCES_AN_IMAGE, dim), dtype=np.float32)
        .astype(np.float16)
    )  # (chunk, image, N, D)
    folder = Path(bench.settings.home) / f"store-{dim}"
    folder.mkdir()
    megabytes = vectors.nbytes / 1e6
    commit_s = _commit_all(folder, vectors, repeats=repeats)
    files = [folder / f"{place}.npy" for place in range(commits)]
    save_s = best_seconds(lambda: _save_all(files, vectors), repeats=repeats)
    read_s = best_seconds(_reading(folder, commits), repeats=repeats)
    load_s = best_seconds(lambda: np.concatenate([np.load(file) for file in files]), repeats=repeats)
    remove_folder(str(folder))

    written = [
        ("np.save of a chunk", megabytes / save_s, f"{commits / save_s:,.0f} files/s"),
        ("commit of a chunk", megabytes / commit_s, f"{commits / commit_s:,.0f} commits/s"),
    ]
    read = [
        ("np.load of the chunks", megabytes / load_s, "joined"),
        ("read_bags", megabytes / read_s, "all breasts, sorted into bags"),
    ]
    return [
        row
        for what, variants in ((f"store write D={dim}", written), (f"store read D={dim}", read))
        for row in compare_rates(what, variants, unit="MB/s", reference=variants[0][0])
    ]


def _commit_all(folder: Path, vectors: NDArray[np.float16], *, repeats: int) -> float:
    """Seconds of the commits, the fastest of several new stores. The last store is kept and indexed."""
    chunks = [rows_of_images(chunk, first=place * IMAGES_A_COMMIT) for place, chunk in enumerate(vectors)]
    seconds = []
    for repeat in range(repeats):
        uri = folder / "lance"
        if repeat:
            remove_folder(str(uri))
        table = Store(str(uri)).open_instances(DATASET, ENCODER, dim=vectors.shape[-1], licence={})
        began = time.perf_counter()
        for rows in chunks:
            table.commit(rows)
        seconds.append(time.perf_counter() - began)
    table.index()
    return min(seconds)


def _reading(folder: Path, commits: int) -> Callable[[], object]:
    reader = Reader(str(folder / "lance"), dataset=DATASET, encoder=ENCODER, fingerprint=FINGERPRINT)
    breast_ids = [breast_of(image) for image in range(0, commits * IMAGES_A_COMMIT, 2)]
    return lambda: reader.read_bags(breast_ids)


def _save_all(files: list[Path], vectors: NDArray[np.float16]) -> None:
    for file, chunk in zip(files, vectors, strict=True):
        np.save(file, chunk)
