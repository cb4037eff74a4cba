"""Time an extraction through Ray against (a) the encoder without reading, (b) a plain loop, (d) the reference code.

All process the same images in one run; (b), (c) Ray and (d) also write their vectors.
"""

from dataclasses import replace

from tilebank.bench.extraction.phantom_study import study_images
from tilebank.bench.extraction.plain_loop import ExtractionRun, run_loop, time_encoder
from tilebank.bench.extraction.ray_run import RayRun, run_ray, transport_rows
from tilebank.bench.extraction.reference import run_reference
from tilebank.bench.measure import Bench, BenchRow, PartResult, compare_rates, plural
from tilebank.flows.settings.settings import Settings

EARLY_IMAGES = 200  # by then the driver's memory should have stopped growing

_Rate = tuple[str, float]  # variant, images a second


def bench_extract(bench: Bench) -> PartResult:
    """Images per second with and without start-up, memory, and bytes moved, relative to the other variants."""
    images = study_images(bench)
    settings = _with_early_commits(bench.settings)
    some = images[: bench.sizes.loop_images or len(images)]
    counts = sorted({max(1, int(settings.extraction.encoder_cpus)), bench.cores})
    encoder_rates = {count: time_encoder(settings, some, threads=count) for count in counts}
    loops = [run_loop(settings, some, threads=count) for count in counts]
    run = run_ray(settings, images)
    reference = run_reference(settings, some, threads=bench.cores)
    encoder = [
        (f"(a) encoder only, {plural(count, 'thread')}", rate / run.tiles) for count, rate in encoder_rates.items()
    ]
    rows = _speed_rows(encoder, loops, run=run, reference=reference)
    rows += [*run.memory.peak_rows(what="extract, peak memory"), *_loop_memory(loops, reference)]
    rows += run.memory.driver_rows(what="extract, driver's memory", early=_early(run.timing))
    rows += transport_rows(run.transport, what="extract, object store")
    return PartResult(tuple(rows), _how(settings, bench, run=run, loop_images=len(some)))


def _speed_rows(
    encoder: list[_Rate], loops: list[ExtractionRun], *, run: RayRun, reference: ExtractionRun
) -> list[BenchRow]:
    """Whole runs, their second halves (if all have one), and the ratios c / b, a / c and c / d."""
    runs = [*loops, run.timing, reference]
    rows = _against_loop("extract, whole run", [(each.variant, each.whole_rate) for each in runs], runs, run)
    rates, when = [(each.variant, each.whole_rate) for each in runs], "whole run"
    if all(each.later_rate for each in runs):
        rates, when = [(each.variant, each.later_rate) for each in runs], "second half"
        rows += _against_loop("extract, second half", [*encoder, *rates], [], run)
    by_name = dict(rates)
    loop = max((one.variant for one in loops), key=lambda name: by_name[name])
    through_ray, best = run.timing.variant, max(encoder, key=lambda one: one[1])
    pairs = [("c / b", (through_ray, by_name[through_ray]), (loop, by_name[loop]))]
    pairs.append(("a / c", best, (through_ray, by_name[through_ray])))
    pairs.append(("c / d", (through_ray, by_name[through_ray]), (reference.variant, by_name[reference.variant])))
    return rows + [
        BenchRow(f"extract, {when}: ratios", name, rate, "images/s", rate / base, to, f"{of} to {base:.2f} images/s")
        for name, (of, rate), (to, base) in pairs
    ]


def _against_loop(what: str, rates: list[_Rate], started: list[ExtractionRun], run: RayRun) -> list[BenchRow]:
    """Rates relative to the faster loop; the notes give the start-up time of the runs in `started`."""
    start_up = {
        each.variant: f"; {each.start_up_s:.1f} s to the first {plural(each.marks[0][1], 'image')}" for each in started
    }
    variants = [(name, rate, f"{rate * run.tiles:,.1f} tiles/s{start_up.get(name, '')}") for name, rate in rates]
    loops = [each for each in rates if each[0].startswith("(b)")]
    return compare_rates(what, variants, unit="images/s", reference=max(loops, key=lambda one: one[1])[0])


def _loop_memory(loops: list[ExtractionRun], reference: ExtractionRun) -> list[BenchRow]:
    """Peak memory of the variants without Ray, relative to the first loop."""
    variants = [(each.variant, each.peak_bytes / 1e6, "one process") for each in (*loops, reference)]
    return compare_rates("extract, peak memory without Ray", variants, unit="MB", reference=loops[0].variant)


def _early(timing: ExtractionRun) -> tuple[float, int]:
    """(time, images) when EARLY_IMAGES were stored, or half of all images if fewer."""
    least = min(EARLY_IMAGES, timing.images // 2)
    return next(mark for mark in timing.marks if mark[1] >= least)


def _how(settings: Settings, bench: Bench, *, run: RayRun, loop_images: int) -> str:
    extraction, sizes = settings.extraction, bench.sizes
    device = (
        f"{plural(run.gpus, 'GPU')}" if run.gpus else f"{plural(max(1, int(extraction.encoder_cpus)), 'thread')} each"
    )
    parts = [
        f"{run.timing.images} images of {sizes.rows} x {sizes.columns} ({loop_images} for a, b and d)",
        f"{run.tiles:.1f} tiles each, including the view",
        f"{settings.encoder.name}, {settings.encoder.dtype}",
        f"(c) with {plural(run.encoders, 'encoder')}, {device}, commits of {extraction.commit_images}",
        "1 run each",
    ]
    return "; ".join(parts)


def _with_early_commits(settings: Settings) -> Settings:
    """Commit after every batch of the encoder, so that the end of the start-up can be seen."""
    extraction = replace(settings.extraction, commit_images=settings.extraction.images_per_batch)
    return settings.model_copy(update={"extraction": extraction})
