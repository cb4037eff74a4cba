"""How many breasts and patients a task would have in each split. Counts label rows; names no patient."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
    """A task's labels by split; no lines where the task cannot be planned."""

    task: str
    rule: str
    classes: tuple[int, ...]
    lines: tuple[SplitLine, ...]


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


def count_task(task: str, labels: Sequence[LabelRow], splits: Mapping[str, Split]) -> TaskCounts:
    """Labels by split. A patient without a split (left out of a reduced training set) is not counted."""
    classes = tuple(sorted({row.label for row in labels}))
    lines = []
    for split in Split:
        rows = [row for row in labels if splits.get(row.patient_id) is split]
        by_class = tuple(sum(row.label == label for row in rows) for label in classes)
        lines.append(SplitLine(split.value, len({row.patient_id for row in rows}), len(rows), by_class))
    rule = labels[0].rule if labels else ""
    return TaskCounts(task, rule, classes, tuple(lines))
