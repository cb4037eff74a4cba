"""Time one large table: commit, verify, compact, index, and read a split, against np.fromfile."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from tilebank.bench.measure import Bench, BenchRow, PartResult, best_seconds, compare_rates
from tilebank.bench.store.random_rows import (
    DATASET,
    ENCODER,
    FINGERPRINT,
    INSTANCES_AN_IMAGE,
    breast_of,
    rows_of_images,
)
from tilebank.errors import StoreError
from tilebank.flows.reporting.progress import with_progress
from tilebank.store.maintenance import Target, compact_tables, index_tables
from tilebank.store.reader import Reader
from tilebank.store.tables import Store
from tilebank.store.verify import verify_instances

DIM = 384  # DINOv2 small
TRAIN_SHARE = 0.7  # of the breasts: the largest split that a search reads
FROMFILE = "np.fromfile"


def bench_tables(bench: Bench) -> PartResult:
    """Fill one table as an extraction does, then time each maintenance step and reading a split."""
    images_a_commit = bench.settings.extraction.commit_images
    images = -(-bench.sizes.vectors // INSTANCES_AN_IMAGE)
    folder = Path(bench.settings.home) / "tables"
    folder.mkdir()
    uri, target = str(folder / "lance"), Target(str(folder / "lance"), DATASET, ENCODER)
    rows = images * INSTANCES_AN_IMAGE
    commit_s = _fill(uri, images=images, images_a_commit=images_a_commit)
    verify = partial(_verify, uri)
    scattered = _time_split(
        bench, uri, images=images, note=f"as committed, {-(-images // images_a_commit):,} fragments"
    )
    kept = [
        ("commit", commit_s, f"{images_a_commit} images each"),
        ("verify", _timed_s(verify), "as committed"),
        ("compact", _timed_s(partial(compact_tables, target)), ""),
        ("index", _timed_s(partial(index_tables, target)), "breast, exam and image"),
        ("verify compacted", _timed_s(verify), ""),
    ]
    upkeep = compare_rates(
        "one table",
        [(what, rows / seconds, f"{seconds:.1f} s{note and f', {note}'}") for what, seconds, note in kept],
        unit="vectors/s",
        reference="commit",
    )
    compacted = _time_split(bench, uri, images=images, note="compacted and indexed")
    how = (
        f"{rows:,} vectors of {DIM} in float16 ({2 * DIM * rows / 1e6:,.0f} MB), a split of"
        f" {TRAIN_SHARE:.0%} of {images // 2:,} breasts in random order; files in the page cache"
    )
    return PartResult((*upkeep, *scattered, *compacted), how)


def _fill(uri: str, *, images: int, images_a_commit: int) -> float:
    """Seconds of the commits."""
    random, seconds = np.random.default_rng(DIM), 0.0
    table = Store(uri).open_instances(DATASET, ENCODER, dim=DIM, licence={})
    firsts = range(0, images, images_a_commit)
    for first in with_progress(firsts, what="fill", unit="commit", total=len(firsts), leave=False):
        size = (min(images_a_commit, images - first), INSTANCES_AN_IMAGE, DIM)
        rows = rows_of_images(random.standard_normal(size, dtype=np.float32).astype(np.float16), first=first)
        began = time.perf_counter()
        table.commit(rows)
        seconds += time.perf_counter() - began
    return seconds


def _verify(uri: str) -> None:
    verified = verify_instances(uri, DATASET, encoder=ENCODER, unit_norm=False)
    if verified.problems:
        raise StoreError(f"the table of this benchmark is incomplete: {verified.problems}")


def _time_split(bench: Bench, uri: str, *, images: int, note: str) -> list[BenchRow]:
    """Reading a split as bags, the whole vector column, and a file of the split's bytes."""
    reader = Reader(uri, dataset=DATASET, encoder=ENCODER, fingerprint=FINGERPRINT)
    breasts = [breast_of(image) for image in range(0, images, 2)]
    split = np.random.default_rng(0).permutation(breasts)[: int(TRAIN_SHARE * len(breasts))].tolist()
    bags = reader.read_bags(split)
    file = Path(bench.settings.home) / "split.bin"
    with file.open("wb") as plain:
        for features in (bags.view_features, bags.tile_features):
            features.tofile(plain)
    megabytes = file.stat().st_size / 1e6
    del bags
    repeats = bench.sizes.repeats
    plain_s = best_seconds(lambda: np.fromfile(file, np.float16), repeats=repeats)
    read_s = best_seconds(lambda: reader.read_bags(split), repeats=repeats)
    file.unlink()
    return compare_rates(
        f"read a split, {note}",
        [
            (FROMFILE, megabytes / plain_s, f"{plain_s:.2f} s, the same {megabytes:,.0f} MB"),
            ("read_bags", megabytes / read_s, f"{read_s:.2f} s, open table"),
        ],
        unit="MB/s",
        reference=FROMFILE,
    )


def _timed_s(work: Callable[[], object]) -> float:
    return best_seconds(work, repeats=1)
