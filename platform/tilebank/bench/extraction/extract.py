"""A whole extraction through Ray beside (a) the encoder alone, (b) a plain loop, (d) the reference way, in one run.

All work on the same images; (b), (c) and (d) keep their vectors.
"""

from dataclasses import replace

from tilebank.bench.extraction.phantom_study import study_images
from tilebank.bench.extraction.plain_loop import Course, run_alone, run_loop
from tilebank.bench.extraction.ray_run import RayRun, run_ray, transport_rows
from tilebank.bench.extraction.reference import run_reference
from tilebank.bench.measure import Bench, BenchRow, PartResult, compare_rates, plural
from tilebank.flows.settings.settings import Settings

EARLY_IMAGES = 200  # by then the driver should hold all that it ever will

_Rate = tuple[str, float]  # variant, images a second


def bench_extract(bench: Bench) -> PartResult:
    """Images a second with start-up and without, memory, and bytes moved, against what surrounds it."""
    images = study_images(bench)
    settings = _with_early_commits(bench.settings)
    some = images[: bench.sizes.loop_images or len(images)]
    counts = sorted({max(1, int(settings.extraction.encoder_cpus)), bench.cores})
    alone = {count: run_alone(settings, some, threads=count) for count in counts}
    loops = [run_loop(settings, some, threads=count) for count in counts]
    run = run_ray(settings, images)
    reference = run_reference(settings, some, threads=bench.cores)
    encoder = [(f"(a) encoder alone, {plural(count, 'thread')}", rate / run.tiles) for count, rate in alone.items()]
    rows = _speed_rows(encoder, loops, run=run, reference=reference)
    rows += [*run.memory.peak_rows(what="extract, peak memory"), *_loop_memory(loops, reference)]
    rows += run.memory.driver_rows(what="extract, driver's memory", early=_early(run.course))
    rows += transport_rows(run.transport, what="extract, object store")
    return PartResult(tuple(rows), _how(settings, bench, run=run, loop_images=len(some)))


def _speed_rows(encoder: list[_Rate], loops: list[Course], *, run: RayRun, reference: Course) -> list[BenchRow]:
    """Whole runs; the same after their start-up, where all have such a time; and the three ratios that matter."""
    courses = [*loops, run.course, reference]
    rows = _against_loop("extract, whole run", [(each.variant, each.whole_rate) for each in courses], courses, run)
    rates, when = [(each.variant, each.whole_rate) for each in courses], "whole run"
    if all(each.later_rate for each in courses):
        rates, when = [(each.variant, each.later_rate) for each in courses], "second half"
        rows += _against_loop("extract, second half", [*encoder, *rates], [], run)
    by_name = dict(rates)
    loop = max((course.variant for course in loops), key=lambda name: by_name[name])
    through_ray, best = run.course.variant, max(encoder, key=lambda one: one[1])
    pairs = [("c / b", (through_ray, by_name[through_ray]), (loop, by_name[loop]))]
    pairs.append(("a / c", best, (through_ray, by_name[through_ray])))
    pairs.append(("c / d", (through_ray, by_name[through_ray]), (reference.variant, by_name[reference.variant])))
    return rows + [
        BenchRow(f"extract, {when}: ratios", name, rate, "images/s", rate / base, to, f"{of} to {base:.2f} images/s")
        for name, (of, rate), (to, base) in pairs
    ]


def _against_loop(what: str, rates: list[_Rate], started: list[Course], run: RayRun) -> list[BenchRow]:
    """All against the faster loop. `started`: whose start-up is told."""
    start_up = {
        each.variant: f"; {each.start_up_s:.1f} s to the first {plural(each.marks[0][1], 'image')}" for each in started
    }
    variants = [(name, rate, f"{rate * run.tiles:,.1f} tiles/s{start_up.get(name, '')}") for name, rate in rates]
    loops = [each for each in rates if each[0].startswith("(b)")]
    return compare_rates(what, variants, unit="images/s", reference=max(loops, key=lambda one: one[1])[0])


def _loop_memory(loops: list[Course], reference: Course) -> list[BenchRow]:
    """The processes beside Ray, against the first loop's."""
    variants = [(each.variant, each.peak_bytes / 1e6, "one process") for each in (*loops, reference)]
    return compare_rates("extract, peak memory beside Ray", variants, unit="MB", reference=loops[0].variant)


def _early(course: Course) -> tuple[float, int]:
    """When EARLY_IMAGES were stored, or half of what there were; and how many they were then."""
    least = min(EARLY_IMAGES, course.images // 2)
    return next(mark for mark in course.marks if mark[1] >= least)


def _how(settings: Settings, bench: Bench, *, run: RayRun, loop_images: int) -> str:
    extraction, sizes = settings.extraction, bench.sizes
    device = (
        f"{plural(run.gpus, 'GPU')}" if run.gpus else f"{plural(max(1, int(extraction.encoder_cpus)), 'thread')} each"
    )
    parts = [
        f"{run.course.images} images of {sizes.rows} x {sizes.columns} ({loop_images} for a, b and d)",
        f"{run.tiles:.1f} tiles each, the view counted too",
        f"{settings.encoder.name}, {settings.encoder.dtype}",
        f"(c) with {plural(run.encoders, 'encoder')}, {device}, commits of {extraction.commit_images}",
        "1 run each",
    ]
    return "; ".join(parts)


def _with_early_commits(settings: Settings) -> Settings:
    """Commit as often as an encoder hands images back, so that the end of the start-up can be seen."""
    extraction = replace(settings.extraction, commit_images=settings.extraction.images_per_batch)
    return settings.model_copy(update={"extraction": extraction})
