"""Count the breasts and patients that a task would have in each split, and say whether it could be searched."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tilebank.datasets.labels import task_named
from tilebank.datasets.splits import SplitConfig
from tilebank.errors import DatasetError
from tilebank.flows.study.outputs import assert_every_answer, scarce_answers
from tilebank.terms import LabelRow, ManifestRow, Split


@dataclass(frozen=True)
class SplitLine:
    """One split of a task: patients, breasts, and breasts by class in the order of the task's classes."""

    split: str
    patients: int
    breasts: int
    by_class: tuple[int, ...]


@dataclass(frozen=True)
class TaskCounts:
    """A task's labels by split; no lines where the task cannot be planned.

    refusal: why a search would refuse these splits, as it would say it; scarce: its warning that a class has very few
    breasts. Both are empty where there is nothing to say.
    """

    task: str
    rule: str
    classes: tuple[int, ...]
    lines: tuple[SplitLine, ...]
    refusal: str = ""
    scarce: str = ""


@dataclass(frozen=True)
class StudySize:
    """What the accepted images amount to."""

    images: int
    breasts: int
    exams: int
    patients: int
    whole_breasts: int  # with both a CC and an MLO view


def size_of(images: Sequence[ManifestRow]) -> StudySize:
    """Images, breasts, exams and patients, each counted once."""
    views = {(row.breast_id, row.view) for row in images}
    breasts = {row.breast_id for row in images}
    return StudySize(
        images=len(images),
        breasts=len(breasts),
        exams=len({row.exam_id for row in images}),
        patients=len({row.patient_id for row in images}),
        whole_breasts=sum({(breast, "CC"), (breast, "MLO")} <= views for breast in breasts),
    )


def count_task(
    task: str, labels: Sequence[LabelRow], splits: Mapping[str, Split], *, config: SplitConfig
) -> TaskCounts:
    """Labels by split, checked as a search checks them. Patients that `splits.fraction` leaves out are not counted."""
    classes = tuple(sorted({row.label for row in labels}))
    lines = []
    by_split = {split: [row for row in labels if splits.get(row.patient_id) is split] for split in Split}
    for split, rows in by_split.items():
        by_class = tuple(sum(row.label == label for row in rows) for label in classes)
        lines.append(SplitLine(split.value, len({row.patient_id for row in rows}), len(rows), by_class))
    rule = labels[0].rule if labels else ""
    scarce = scarce_answers(task_named(task), by_split)
    return TaskCounts(task, rule, classes, tuple(lines), _refusal(task, by_split, config), scarce)


def _refusal(task: str, rows: Mapping[Split, Sequence[LabelRow]], config: SplitConfig) -> str:
    try:
        assert_every_answer(task_named(task), rows, config)
    except DatasetError as error:
        return str(error)
    return ""
