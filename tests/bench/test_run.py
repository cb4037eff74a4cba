"""Each part of the benchmark runs for real, at sizes of no meaning: its rows are there, and they are consistent."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from tests.cases import with_long
from tests.flows.conftest import MakeSettings

from tilebank.bench.extraction.phantom_study import study_images
from tilebank.bench.measure import Bench
from tilebank.bench.memory import PROC, MemorySample, MemoryTracker, samples_now
from tilebank.bench.parts import PARTS, BenchSizes
from tilebank.bench.run import BenchSummary, bench_parts
from tilebank.encoders.huggingface.random_weights import write_random_weights
from tilebank.encoders.huggingface.reference import load_reference
from tilebank.encoders.registry import load_encoder
from tilebank.errors import ConfigError
from tilebank.imaging.dicom.reader import read_header

SMALL = BenchSizes(
    exams=2,
    rows=512,
    columns=384,
    read_images=2,
    tiles=3,
    commits=2,
    breasts=14,
    tiles_a_breast=4,
    heads=3,
    epochs=3,
    repeats=1,
)
VARIANTS = {
    "phantom": {("phantom", "1 process")},
    "read": {("read", variant) for variant in ("all: bytes to tiles", "read the bytes", "window + mask", "plan + cut")},
    "encode": {
        ("encode texture", variant)
        for variant in ("one tile per call", "one call, batch of 1", "one call, batch of 8", "one call, batch of 32")
    },
    "store": {
        (f"store {verb} D={dim}", variant)
        for dim in (110, 1152, 1536)
        for verb, variant in (
            ("write", "np.save of a chunk"),
            ("write", "commit of a chunk"),
            ("read", "np.load of the chunks"),
            ("read", "read_bags"),
        )
    },
}
RAY = "(c) Tilebank through Ray"


def assert_consistent(summary: BenchSummary) -> None:
    """Rates above zero; a ratio is the rate over the rate of the row that it names, where it names one."""
    rows = [row for result in summary.parts.values() for row in result.rows]
    rates = {(row.what, row.variant): row.rate for row in rows}
    assert all(row.rate > 0 and row.ratio > 0 for row in rows)
    for row in rows:
        if (row.what, row.reference) in rates:
            assert row.ratio == pytest.approx(row.rate / rates[row.what, row.reference])
    _, *groups, footer = summary.as_text().split("\n\n")
    lines = [line for group in groups for line in group.splitlines()]
    assert len(lines) == len(rows)
    assert len({line.index(row.unit) for line, row in zip(lines, rows, strict=True)}) == 1, "units stand in one column"
    assert [line.split()[0] for line in footer.splitlines()] == [*summary.parts, "machine"]
    assert json.loads(json.dumps(summary.as_dict()))["machine"]["cores"] >= 1


def assert_shares_add_up(summary: BenchSummary) -> None:
    """Each step of reading is a share of the whole; the steps come to about it."""
    rows = {row.variant: row for row in summary.parts["read"].rows}
    decoding = [row for variant, row in rows.items() if variant.startswith("decode")]
    assert decoding
    assert rows["all: bytes to tiles"].ratio == 1
    others = sum(rows[variant].ratio for variant in ("read the bytes", "window + mask", "plan + cut"))
    if len(decoding) == 1:
        assert others + decoding[0].ratio == pytest.approx(1)
    else:
        assert min(row.ratio for row in decoding) <= 1 - others <= max(row.ratio for row in decoding)


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize("part", with_long([part for part in PARTS if part in VARIANTS], VARIANTS.keys() - {"store"}))
def test_a_part_runs_alone_gives_its_rows_and_leaves_nothing(
    settings_for: MakeSettings, empty_tmp: Path, part: str
) -> None:
    summary = bench_parts(settings_for(), [part], sizes=SMALL)
    assert list(summary.parts) == [part]
    assert {(row.what, row.variant) for row in summary.parts[part].rows} >= VARIANTS[part]
    assert_consistent(summary)
    assert not list(empty_tmp.glob("tilebank-bench-*"))
    if part == "read":
        assert_shares_add_up(summary)


@pytest.mark.long
@pytest.mark.usefixtures("ray_session")
def test_an_extraction_is_held_against_all_other_ways(settings_for: MakeSettings, empty_tmp: Path) -> None:
    sizes = replace(SMALL, images=5, loop_images=3, jpeg2000=True)
    summary = bench_parts(settings_for("extraction.images_per_batch=2"), ["extract"], sizes=sizes)
    assert_consistent(summary)
    result = summary.parts["extract"]
    rows = {(row.what, row.variant): row for row in result.rows}
    assert "8 images of 512 x 384 (3 for a, b and d)" in result.how, "whole exams are written"
    ways = [variant for what, variant in rows if what == "extract, whole run"]
    assert [way[:3] for way in ways if not way.startswith("(b)")] == ["(c)", "(d)"]
    ratios = {variant: row for (what, variant), row in rows.items() if what.endswith("ratios")}
    assert set(ratios) == {"c / b", "a / c", "c / d"}
    of_ray = ratios["c / b"].rate
    assert ratios["a / c"].rate / ratios["a / c"].ratio == pytest.approx(of_ray), "one figure for (c) in all of them"
    assert ratios["a / c"].reference == RAY
    if PROC.is_dir():
        kinds = {variant for what, variant in rows if what == "extract, peak memory"}
        # A reading worker has its title for the milliseconds of a small image: that one is seen is chance.
        always = {"driver", "decoding child process", "encoder worker", "GCS", "raylet and object store"}
        assert always <= kinds
        assert [variant for what, variant in rows if what == "extract, driver's memory"][-1] == "at the end"
    moved = rows["extract, object store", "blocks from readers to encoders"]
    assert 1 < moved.ratio < 1.2


@pytest.mark.slow
def test_all_files_of_a_study_are_jpeg_2000_where_that_is_asked_for(tmp_path: Path, settings_for: MakeSettings) -> None:
    settings = settings_for(root=str(tmp_path / "study"))
    bench = Bench(settings, replace(SMALL, exams=3, jpeg2000=True), cores=2, encoders=(), device="cpu")
    images = study_images(bench)
    headers = [read_header(BytesIO(Path(image.uri).read_bytes())) for image in images]
    assert len(images) == 12
    assert {header.transfer_syntax for header in headers} == {"1.2.840.10008.1.2.4.90"}
    assert len({header.manufacturer for header in headers}) == 2
    assert study_images(bench) == images, "what stands is not written again"


@pytest.mark.slow
@pytest.mark.long
def test_an_encoder_without_its_weights_is_timed_on_random_ones(settings_for: MakeSettings, empty_tmp: Path) -> None:
    row = settings_for(encoder="rad-dino").encoder
    shape = dict(row.architecture or {}) | {"hidden_size": 32, "num_hidden_layers": 2, "image_size": 56}
    small = replace(row, architecture=shape | {"num_attention_heads": 4}, input_size_px=56, dim=32)
    summary = bench_parts(settings_for(), ["encode"], sizes=SMALL, encoders=[small], device="cuda")
    assert_consistent(summary)
    result = summary.parts["encode"]
    (work,) = [row for row in result.rows if row.unit == "TFLOP/s" and row.what == "encode rad-dino"]
    (peak,) = [row for row in result.rows if row.variant == "bfloat16 matmul"]
    assert work.ratio == pytest.approx(work.rate / peak.rate)
    assert all("random weights" in row.note for row in result.rows if row.unit == "tiles/s")
    if peak.what == "peak of CPU":
        assert result.how.startswith("NO cuda HERE, SO ON THE CPU")


def test_memory_is_told_by_kind_and_a_worker_keeps_the_kind_it_once_had() -> None:
    def sample(pid: int, title: str, megabytes: int) -> MemorySample:
        return MemorySample(pid, parent=1, title=title, resident=megabytes * 10**6, own=megabytes * 10**6 // 2)

    watch = MemoryTracker()
    driver = os.getpid()
    watch.add([sample(driver, "python", 100), sample(7, "python worker.py --raylet-name=x", 50)], when_s=0.0)
    watch.add([sample(driver, "python", 200), sample(7, "ray::MapBatches(read_images)", 80)], when_s=1.0)
    watch.add([sample(driver, "python", 150), sample(7, "ray::IDLE", 60)], when_s=2.0)
    peaks = {row.variant: (row.rate, row.ratio) for row in watch.peak_rows(what="peak")}
    assert peaks == {"driver": (200, 1), "reading worker": (80, 0.4)}
    early, late = watch.driver_rows(what="driver", early=(0.9, 200))
    assert (early.variant, early.rate) == ("after 200 images", 200)
    assert (late.variant, late.rate, late.ratio) == ("at the end", 150, 0.75)


@pytest.mark.skipif(not PROC.is_dir(), reason="memory is read from /proc")
def test_memory_is_seen_of_this_process_and_its_children_alone() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        seen = {one.pid: one for one in samples_now(os.getpid())}
        assert {os.getpid(), child.pid} <= set(seen)
        assert seen[os.getpid()].resident > seen[child.pid].resident > 10**6
        assert os.getppid() not in seen
    finally:
        child.communicate(b"\n")


@pytest.mark.slow
def test_the_reference_way_gives_the_vectors_of_the_encoder(tmp_path: Path, settings_for: MakeSettings) -> None:
    row = settings_for(encoder="dinov2-small").encoder
    shape = dict(row.architecture or {}) | {"hidden_size": 32, "num_hidden_layers": 2, "image_size": 56}
    small = replace(row, architecture=shape | {"num_attention_heads": 4}, input_size_px=56, dim=32)
    config = write_random_weights(small, tmp_path / "weights")
    pixels = np.random.default_rng(0).integers(0, 256, (3, 56, 56), dtype=np.uint8)
    assert load_reference(config).encode(pixels) == pytest.approx(
        load_encoder(config, device="cpu").encode(pixels, max_value=255.0), abs=1e-3
    )


@pytest.mark.slow
@pytest.mark.long
def test_a_search_is_timed_in_packs_and_one_by_one(settings_for: MakeSettings, empty_tmp: Path) -> None:
    summary = bench_parts(settings_for(), ["search"], sizes=SMALL)
    by_what: dict[str, list[str]] = {}
    for row in summary.parts["search"].rows:
        by_what.setdefault(row.what, []).append(row.variant.partition(",")[0])
    for what in ("search, to plain", "search, to reference"):
        assert by_what[what][:3] == ["plain", "reference", "packed"]
    assert by_what["one epoch of all heads"][:2] == ["one head", "packed"]
    assert set(by_what["peak memory"]) >= {"one head", "plain", "reference", "packed"}
    assert_consistent(summary)


def test_an_unknown_part_or_size_is_refused_before_any_work(settings_for: MakeSettings, empty_tmp: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'search'"):
        bench_parts(settings_for(), ["store", "serach"], sizes=SMALL)
    with pytest.raises(ConfigError, match="epochs is 1; use at least 2"):
        BenchSizes(epochs=1)
    with pytest.raises(ConfigError, match="repeats is 0; use at least 1"):
        BenchSizes(repeats=0)
    with pytest.raises(ConfigError, match="images is -1; use at least 0"):
        BenchSizes(images=-1)
    assert not list(empty_tmp.iterdir())
