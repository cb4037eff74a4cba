"""Each part of the benchmark runs for real, at sizes of no meaning: its rows are there, and they are consistent."""

import json
import tempfile
from pathlib import Path

import pytest
from tests.flows.conftest import MakeSettings

from tilebank.errors import ConfigError
from tilebank.flows.bench import PARTS, BenchSizes, BenchSummary, bench_parts

SMALL = BenchSizes(
    exams=2,
    rows=512,
    columns=384,
    read_images=2,
    tiles=3,
    commits=2,
    breasts=8,
    tiles_a_breast=4,
    heads=3,
    epochs=3,
    repeats=1,
)
VARIANTS = {
    "phantom": {("phantom", "1 process")},
    "read": {("read", variant) for variant in ("all: bytes to tiles", "read the bytes", "mask", "plan + cut")},
    "encode": {
        ("encode", variant)
        for variant in ("one tile a call", "one call, batch of 1", "one call, batch of 8", "one call, batch of 32")
    },
    "extract": {("extract, whole run", "plain loop, 1 thread"), ("extract, whole run", "through Ray")},
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


@pytest.fixture
def empty_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary folder of the test's own, to see what is left in it."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


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


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize("part", [part for part in PARTS if part != "search"])
def test_a_part_runs_alone_gives_its_rows_and_leaves_nothing(
    settings_for: MakeSettings, empty_tmp: Path, part: str
) -> None:
    summary = bench_parts(settings_for(), [part], sizes=SMALL)
    assert list(summary.parts) == [part]
    assert {(row.what, row.variant) for row in summary.parts[part].rows} >= VARIANTS[part]
    assert_consistent(summary)
    assert not list(empty_tmp.glob("tilebank-bench-*"))


@pytest.mark.slow
def test_a_search_is_timed_in_one_pack_and_one_by_one(settings_for: MakeSettings, empty_tmp: Path) -> None:
    summary = bench_parts(settings_for(), ["search"], sizes=SMALL)
    by_dim = {
        dim: [row.variant for row in summary.parts["search"].rows if row.what == f"search D={dim}"]
        for dim in (128, 1536)
    }
    assert by_dim[128] == by_dim[1536]
    assert any(variant.startswith("one by one") for variant in by_dim[128])
    assert any(variant.startswith("1 pack") for variant in by_dim[128])
    assert_consistent(summary)


@pytest.mark.slow
def test_shares_of_reading_add_up(settings_for: MakeSettings, empty_tmp: Path) -> None:
    rows = {row.variant: row for row in bench_parts(settings_for(), ["read"], sizes=SMALL).parts["read"].rows}
    decoding = [row for variant, row in rows.items() if variant.startswith("decode + window")]
    assert decoding
    assert rows["all: bytes to tiles"].ratio == 1
    others = sum(rows[variant].ratio for variant in ("read the bytes", "mask", "plan + cut"))
    if len(decoding) == 1:
        assert others + decoding[0].ratio == pytest.approx(1)
    else:
        assert min(row.ratio for row in decoding) <= 1 - others <= max(row.ratio for row in decoding)


def test_an_unknown_part_or_size_is_refused_before_any_work(settings_for: MakeSettings, empty_tmp: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'search'"):
        bench_parts(settings_for(), ["store", "serach"], sizes=SMALL)
    with pytest.raises(ConfigError, match="epochs is 1; use at least 2"):
        BenchSizes(epochs=1)
    with pytest.raises(ConfigError, match="at least 1"):
        BenchSizes(repeats=0)
    assert not list(empty_tmp.iterdir())
