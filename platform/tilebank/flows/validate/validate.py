"""Validate a dataset before extraction: what would become of each file and why, and which tasks could be searched.

Reads all headers (and all pixels, if asked) in parallel, decides as an extraction does, draws a few of the accepted
images, counts labels and splits, and writes an HTML page and a CSV. Stores nothing.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tilebank.datasets.labels import TASKS, task_named
from tilebank.errors import TilebankError, TooFewLabelsError
from tilebank.flows.champion.code_revision import code_revision
from tilebank.flows.reporting.csv_cells import visible
from tilebank.flows.reporting.job import aligned, assert_writable
from tilebank.flows.reporting.run_facts import run_facts
from tilebank.flows.settings.settings import Settings
from tilebank.flows.study.study import plan_study
from tilebank.flows.validate.files import read_files
from tilebank.flows.validate.label_counts import StudySize, TaskCounts, count_task, size_of
from tilebank.flows.validate.page import PageHead, PageStudy, render_page
from tilebank.flows.validate.rows import Outcome, write_csv
from tilebank.flows.validate.sample import draw_sample
from tilebank.flows.validate.tally import ValidationReport, summarise
from tilebank.terms import ManifestRow

NO_LABELS = (
    "No task has labels here. The dataset `folder` reads them from a CSV (--set dataset.labels=labels.csv), the others"
    " from their owner's tables; the job's output says what is missing."
)
UNPLANNED = "The tables cannot be used for this task; the job's output names the row."


@dataclass(frozen=True)
class ValidationSummary:
    """What was found, and where it was written.

    unlabelled: why a task has no labels or splits, by task; task: the one that has to be searchable, empty for none.
    """

    dataset: str
    root: str
    report: ValidationReport
    size: StudySize
    tasks: tuple[TaskCounts, ...]
    unlabelled: dict[str, str]
    html: str
    csv: str
    task: str = ""

    @property
    def refused(self) -> tuple[TaskCounts, ...]:
        """Tasks that have labels, but splits that a search would refuse."""
        return tuple(task for task in self.tasks if task.refusal)

    @property
    def failed(self) -> bool:
        """Whether no file is accepted, or nothing can be searched: the task that was named, else any with labels."""
        labelled = [task for task in self.tasks if task.lines]
        if self.task:
            labelled = [task for task in labelled if task.task == self.task] or [
                TaskCounts(self.task, "", (), (), "none")
            ]
        return not self.report.all.accept or (bool(labelled) and all(task.refusal for task in labelled))

    def as_dict(self) -> dict[str, object]:
        """JSON values."""
        return asdict(self) | {"report": self.report.as_dict()}

    def as_text(self) -> str:
        """Counts, the commonest reasons, labels by split, tasks that cannot be searched, and the report's path."""
        counts = self.report.all
        size = f"{self.size.breasts} breasts, {self.size.exams} exams, {self.size.patients} patients"
        rows = [("dataset", f"{self.dataset} at {self.root}"), ("files", str(counts.total))]
        rows += [(f"  {outcome.value}", str(getattr(counts, outcome.value))) for outcome in Outcome]
        rows += [("accepted images", f"{self.size.images} of {size}")]
        rows += [
            (f"  {cause.outcome}, {cause.error_class}", f"{cause.count} x {cause.reason}")
            for cause in self.report.causes[:3]
        ]
        rows += [row for task in self.tasks if task.lines for row in _task_rows(task)]
        why: dict[str, list[str]] = {}
        for task, message in self.unlabelled.items():
            why.setdefault(message, []).append(task)
        rows += [("no labels", f"{', '.join(tasks)}: {message}") for message, tasks in why.items()]
        rows += [(name, place) for name, place in (("report", self.html), ("rows", self.csv)) if place]
        return aligned([(visible(name), visible(value)) for name, value in rows])


def validate(
    settings: Settings, *, pixels: bool, sample: int, html: Path, csv: Path | None = None, task: str = ""
) -> ValidationSummary:
    """Look at every file of the dataset and write what was found to `html` and, where given, to `csv`.

    pixels: decode every accepted image too; sample: how many of them are drawn in the page; task: one that has to be
    searchable, or the summary says `failed`. Raises ConfigError for a place that cannot be written, before any work,
    and DatasetError for an unknown task or a dataset that cannot be read at all.
    """
    if task:
        task_named(task)
    for flag, place in (("--html", html), ("--csv", csv)):
        if place is not None:
            assert_writable(flag, place)
    files = read_files(settings, pixels=pixels)
    pictures = draw_sample(settings, files, count=sample)
    report = summarise(list(files.rows.values()))
    tasks, unlabelled = _count_tasks(settings, list(files.images.values()), asked=task)
    size = size_of(list(files.images.values()))
    note = "" if any(task.lines for task in tasks) else NO_LABELS
    study = PageStudy(size, () if note else tasks, note)
    page = render_page(_head(settings, pixels=pixels), report, study=study, pictures=pictures)
    html.write_text(page, encoding="utf-8")
    if csv is not None:
        with csv.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream:
            write_csv(sorted(files.rows.values(), key=lambda row: row.uri), stream)
    return ValidationSummary(
        dataset=settings.dataset.name,
        root=settings.dataset.root,
        report=report,
        size=size,
        tasks=tasks,
        unlabelled=unlabelled,
        html=str(html),
        csv=str(csv or ""),
        task=task,
    )


def _count_tasks(
    settings: Settings, images: Sequence[ManifestRow], *, asked: str
) -> tuple[tuple[TaskCounts, ...], dict[str, str]]:
    """Labels and splits of the accepted breasts for every task, or why there are none."""
    counts, unlabelled = [], {}
    for task in TASKS if images else ():
        try:
            labels, splits = plan_study(settings, images, task=task)
            counts.append(count_task(task, labels, splits, config=settings.splits))
        except TooFewLabelsError as error:
            counts.append(TaskCounts(task, f"Cannot be searched: {error.short}.", (), ()))
            unlabelled[task] = str(error) if task == asked else error.short
        except TilebankError as error:  # the files were read: a study that cannot be planned takes nothing from that
            counts.append(TaskCounts(task, UNPLANNED, (), ()))
            unlabelled[task] = str(error)
    return tuple(counts), unlabelled


def _head(settings: Settings, *, pixels: bool) -> PageHead:
    dataset = settings.dataset
    shared = "may be shared" if dataset.redistributable else "vectors and heads made from it may not be shared"
    return PageHead(
        dataset=dataset.name,
        root=dataset.root,
        licence=f"{dataset.licence} ({shared})",
        facts=run_facts(code_revision()) | _main_settings(settings),
        pixels=pixels,
        tile_px=settings.encoder.input_size_px,
        intake=dataset.intake,
    )


def _main_settings(settings: Settings) -> dict[str, str]:
    splits = settings.splits
    return {
        "splits": f"{splits.scheme}, by patient",
        "tiles": f"{settings.encoder.input_size_px} px ({settings.encoder.name}), overlap {settings.tiling.overlap:g}",
        "intensity": settings.reader.intensity.value,
    }


def _task_rows(task: TaskCounts) -> list[tuple[str, str]]:
    rows = [(f"labels, {task.task}", _splits(task))]
    if task.refusal:
        return [*rows, ("  CANNOT BE SEARCHED", task.refusal)]
    return [*rows, ("  few", task.scarce)] if task.scarce else rows


def _splits(task: TaskCounts) -> str:
    by_split = (f"{line.split} {line.breasts} ({'/'.join(map(str, line.by_class))})" for line in task.lines)
    return f"{', '.join(by_split)} breasts (by class {'/'.join(map(str, task.classes))})"
