"""From an owner's facts to labels: one rule a task, kept beside every label it makes. Works on text records."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tilebank.datasets.study import Breast, Truth
from tilebank.errors import ConfigError, DatasetError
from tilebank.terms import LabelRow


@dataclass(frozen=True)
class Task:
    """A yes-no question about a breast: the fact it is answered from, the rule in words, and the rule."""

    name: str
    fact: str
    rule: str
    decide: Callable[[str], int | None]


def _malignancy(birads: str) -> int | None:
    return {"1": 0, "4": 1, "5": 1, "6": 1}.get(birads)


def _present(count: str) -> int | None:
    return None if count == "" else int(int(count) > 0)


TASKS: Mapping[str, Task] = {
    task.name: task
    for task in (
        Task("malignancy", "birads", "BI-RADS 1 -> 0; 4, 5, 6 -> 1; 0, 2, 3 and none left out", _malignancy),
        Task("mass", "masses", "no annotated mass -> 0; one or more -> 1", _present),
        Task("calcification", "calcifications", "no annotated calcification -> 0; one or more -> 1", _present),
        Task("cancer", "cancer", "as the owner's 0 or 1 for the breast", _present),
    )
}


def label_breasts(task_name: str, breasts: Sequence[Breast], truth: Truth, *, dataset: str) -> list[LabelRow]:
    """Labels of the breasts that the task's rule decides; the others are left out. Sorted by breast_id.

    The stratum of a label is its BI-RADS where known, else the label. Raises ConfigError for an unknown task and
    DatasetError when no breast gets a label or a fact cannot be read.
    """
    if task_name not in TASKS:
        raise ConfigError(f"unknown task {task_name!r}; known: {', '.join(TASKS)}")
    task = TASKS[task_name]
    rows = []
    for breast in sorted(breasts, key=lambda breast: breast.breast_id):
        facts = truth.get(breast.breast_id, {})
        label = _decide(task, facts, breast_id=breast.breast_id)
        if label is not None:
            rows.append(
                LabelRow(
                    dataset=dataset,
                    task=task.name,
                    patient_id=breast.patient_id,
                    exam_id=breast.exam_id,
                    breast_id=breast.breast_id,
                    label=label,
                    stratum=facts.get("birads") or str(label),
                    rule=task.rule,
                )
            )
    if not rows:
        raise DatasetError(f"no breast has a label for {task.name!r}: the tables give no usable {task.fact!r} column")
    return rows


def _decide(task: Task, facts: Mapping[str, str], *, breast_id: str) -> int | None:
    text = facts.get(task.fact, "").strip()
    try:
        return task.decide(text)
    except ValueError as error:
        raise DatasetError(f"breast {breast_id}: {task.fact} is {text!r}, not a whole number") from error
