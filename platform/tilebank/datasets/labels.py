"""From an owner's facts to labels: one rule a task, kept beside every label it makes. Works on text records."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tilebank.datasets.study import Breast, Truth
from tilebank.errors import ConfigError, DatasetError
from tilebank.terms import LabelRow


@dataclass(frozen=True)
class Task:
    """A yes-no question about a breast: the fact it is answered from, what that may look like, and the rule.

    `rule` says it in words; `decide` is given text that is not empty and raises ValueError for what it cannot read.
    """

    name: str
    fact: str
    expects: str
    rule: str
    decide: Callable[[str], int | None]


BIRADS = re.compile(r"(?:BI-?RADS[ :]*)?([0-6])(?:[ABC]|\.0)?", re.IGNORECASE)
COUNT = "a whole number"


def birads_category(text: str) -> str:
    """`0` to `6` out of `4`, `4A`, `4.0` or `BI-RADS 4`. Raises ValueError for anything else."""
    found = BIRADS.fullmatch(text.strip())
    if not found:
        raise ValueError(text)
    return found.group(1)


def _malignancy(birads: str) -> int | None:
    return {"1": 0, "4": 1, "5": 1, "6": 1}.get(birads_category(birads))


def _present(count: str) -> int | None:
    return int(int(count.removesuffix(".0")) > 0)


MALIGNANCY_RULE = "BI-RADS 1 -> 0; 4, 5, 6 -> 1; 0, 2, 3 and none left out"
CATEGORY = "a BI-RADS category, 0 to 6 or 4A to 4C"
TASKS: Mapping[str, Task] = {
    task.name: task
    for task in (
        Task("malignancy", "birads", CATEGORY, MALIGNANCY_RULE, _malignancy),
        Task("mass", "masses", COUNT, "no annotated mass -> 0; one or more -> 1", _present),
        Task("calcification", "calcifications", COUNT, "no annotated calcification -> 0; one or more -> 1", _present),
        Task("cancer", "cancer", "0 or 1", "as the owner's 0 or 1 for the breast", _present),
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
                    stratum=_stratum(facts, label=label, breast_id=breast.breast_id),
                    rule=task.rule,
                )
            )
    if not rows:
        raise DatasetError(f"no breast has a label for {task.name!r}: the tables give no usable {task.fact!r} column")
    return rows


def _decide(task: Task, facts: Mapping[str, str], *, breast_id: str) -> int | None:
    text = facts.get(task.fact, "").strip()
    try:
        return task.decide(text) if text else None
    except ValueError as error:
        raise _unreadable(task.fact, text, expects=task.expects, breast_id=breast_id) from error


def _stratum(facts: Mapping[str, str], *, label: int, breast_id: str) -> str:
    text = facts.get("birads", "").strip()
    try:
        return birads_category(text) if text else str(label)
    except ValueError as error:
        raise _unreadable("birads", text, expects=CATEGORY, breast_id=breast_id) from error


def _unreadable(fact: str, text: str, *, expects: str, breast_id: str) -> DatasetError:
    return DatasetError(f"breast {breast_id}: {fact} is {text!r}, not {expects}; mend the table")
