"""Turn facts about breasts into labels: one task, one rule, kept with every label it makes.

Labels belong to breasts, not to images. The adapter has already reduced an owner's rows to one fact per breast: the
worst assessment, the number of distinct findings over all of its images, cancer if any finding is one, the density of
the breast or else of its exam. A missing fact (no row, an empty cell) gives no label, never a negative one; a fact that
cannot be read raises.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

from tilebank.config import nearest
from tilebank.datasets.contract import Truth
from tilebank.errors import ConfigError, DatasetError, TooFewLabelsError
from tilebank.terms import LabelRow

T = TypeVar("T")


class Breast(Protocol):
    """Anything with a breast's ids: a row of a manifest, or a stored breast."""

    @property
    def patient_id(self) -> str: ...
    @property
    def exam_id(self) -> str: ...
    @property
    def breast_id(self) -> str: ...


@dataclass(frozen=True)
class Task:
    """A question about a breast, answered from one fact by one rule.

    expects: what the fact's text may be, for messages; rule: the rule in words; decide: the rule itself, from text that
    is not empty to a class, None for what the rule leaves out; it raises ValueError for text it cannot read. answers:
    names of the classes 0, 1, ...; boxes: the category of annotated boxes that show the answer, empty for all boxes.
    """

    name: str
    fact: str
    expects: str
    rule: str
    decide: Callable[[str], int | None]
    answers: tuple[str, ...] = ("negative", "positive")
    boxes: str = ""

    @property
    def facts(self) -> tuple[str, ...]:
        """What it is answered from."""
        return (self.fact,)

    def label(self, facts: Mapping[str, str], *, breast_id: str) -> int | None:
        """The breast's class; None where the fact is missing or left out. Raises DatasetError for an unreadable one."""
        return _read(facts, self.fact, self.decide, expects=self.expects, breast_id=breast_id)


@dataclass(frozen=True)
class JointTask:
    """Several yes-no questions about a breast, answered independently (multi-label).

    A breast has a label where all parts have one. It is one number, whose bit p is the answer to part p: of two parts,
    0 is neither, 1 the first, 2 the second, 3 both. So breasts are dealt to splits by what they have together.
    """

    name: str
    parts: tuple[Task, ...]
    boxes: str = ""

    @property
    def facts(self) -> tuple[str, ...]:
        """What it is answered from."""
        return tuple(part.fact for part in self.parts)

    @property
    def answers(self) -> tuple[str, ...]:
        """The labels, by the names of their tasks."""
        return tuple(part.name for part in self.parts)

    @property
    def rule(self) -> str:
        """In words, with the number that each label adds."""
        return "; ".join(f"+{1 << place} for {part.name} ({part.rule})" for place, part in enumerate(self.parts))

    def label(self, facts: Mapping[str, str], *, breast_id: str) -> int | None:
        """The breast's labels as one number; None where a part has none. Raises DatasetError as Task.label does."""
        found = [part.label(facts, breast_id=breast_id) for part in self.parts]
        known = [label for label in found if label is not None]
        return sum(label << place for place, label in enumerate(known)) if len(known) == len(found) else None


BIRADS = re.compile(r"(?:BI-?RADS[ :]*)?([0-6])(?:[ABC]|\.0)?", re.IGNORECASE)
DENSITY = re.compile(r"(?:DENSITY[ :]*)?(?:([A-D])|([1-4])(?:\.0)?)", re.IGNORECASE)


def birads_category(text: str) -> str:
    """`0` to `6` out of `4`, `4A`, `4.0` or `BI-RADS 4`. Raises ValueError for anything else."""
    found = BIRADS.fullmatch(text.strip())
    if not found:
        raise ValueError(text)
    return found.group(1)


def _density(text: str) -> int:
    """0 to 3 for A to D, out of `B`, `DENSITY B`, `2` or `2.0`. Raises ValueError for anything else."""
    found = DENSITY.fullmatch(text.strip())
    if not found:
        raise ValueError(text)
    letter, digit = found.groups()
    return "ABCD".index(letter.upper()) if letter else int(digit) - 1


def _malignancy(birads: str) -> int | None:
    return {"1": 0, "4": 1, "5": 1, "6": 1}.get(birads_category(birads))


def _present(count: str) -> int:
    whole = count.removesuffix(".0")
    if not whole.isdecimal():
        raise ValueError(count)
    return int(int(whole) > 0)


def _yes_no(text: str) -> int:
    return ("0", "1").index(text.removesuffix(".0"))


COUNT = "a whole number"
CATEGORY = "a BI-RADS category, 0 to 6 or 4A to 4C"
LETTER = "a density, A to D or 1 to 4"
FLAG = "0 or 1"
MALIGNANCY_RULE = "BI-RADS 1 -> 0; 4, 5, 6 -> 1; 0, 2, 3 and none left out"
MASS_RULE = "no annotated mass -> 0; one or more -> 1"
CALCIFICATION_RULE = "no annotated calcification -> 0; one or more -> 1"
DENSITY_RULE = "breast density A (1) -> 0; B (2) -> 1; C (3) -> 2; D (4) -> 3"
MASS = Task("mass", "masses", COUNT, MASS_RULE, _present, boxes="mass")
CALCIFICATION = Task("calcification", "calcifications", COUNT, CALCIFICATION_RULE, _present, boxes="calcification")
TASKS: Mapping[str, Task | JointTask] = {
    task.name: task
    for task in (
        Task("malignancy", "birads", CATEGORY, MALIGNANCY_RULE, _malignancy),
        Task("cancer", "cancer", FLAG, "as the owner's 0 or 1 for the breast", _yes_no),
        MASS,
        CALCIFICATION,
        Task("label", "label", FLAG, "as the table's 0 or 1 in its column label", _yes_no),
        Task("density", "density", LETTER, DENSITY_RULE, _density, answers=tuple("ABCD")),
        JointTask("findings", (MASS, CALCIFICATION)),
    )
}
"""Every task: one row each. Flags, help texts, `validate` and the pseudonymised facts all follow this table."""


def task_named(name: str) -> Task | JointTask:
    """The task of this name. Raises ConfigError for an unknown one."""
    if name not in TASKS:
        raise ConfigError(f"unknown task {name!r}{nearest(name, TASKS)}; known: {', '.join(TASKS)}")
    return TASKS[name]


def box_category(task_name: str) -> str:
    """The category of annotated boxes that show the task's answer; empty, for all boxes, also for an unknown task."""
    return TASKS[task_name].boxes if task_name in TASKS else ""


def label_breasts(task_name: str, breasts: Iterable[Breast], *, truth: Truth, dataset: str) -> list[LabelRow]:
    """Labels of the breasts that the task's rule decides; the others are left out. Sorted by breast_id.

    `breasts` may name one several times, as a manifest does. The stratum is the BI-RADS for a task that is answered
    from it, else the label, with the BI-RADS behind it where known. Raises ConfigError for an unknown task and
    DatasetError when a fact cannot be read, TooFewLabelsError when no breast gets a label.
    """
    task = task_named(task_name)
    rows = []
    for breast_id, breast in sorted({breast.breast_id: breast for breast in breasts}.items()):
        facts = truth.get(breast_id, {})
        label = task.label(facts, breast_id=breast_id)
        if label is not None:
            rows.append(
                LabelRow(
                    dataset=dataset,
                    task=task.name,
                    patient_id=breast.patient_id,
                    exam_id=breast.exam_id,
                    breast_id=breast_id,
                    label=label,
                    stratum=_stratum(task, facts, label=label, breast_id=breast_id),
                    rule=task.rule,
                )
            )
    if not rows:
        columns = " and ".join(map(repr, task.facts))
        column = "column" if len(task.facts) == 1 else "columns"
        missing = f"no usable {column} {columns}"
        raise TooFewLabelsError(
            f"no breast has a label for {task.name!r}: the tables have {missing}; add the {column} to the labels, or"
            " choose another --task",
            short=missing,
        )
    return rows


def _stratum(task: Task | JointTask, facts: Mapping[str, str], *, label: int, breast_id: str) -> str:
    """Text that sorts a worse breast behind a better one: the label leads, for a BI-RADS of 0 can go with cancer."""
    birads = _read(facts, "birads", birads_category, expects=CATEGORY, breast_id=breast_id)
    if birads is None:
        return str(label)
    return birads if task.facts == ("birads",) else f"{label}/{birads}"


def _read(facts: Mapping[str, str], fact: str, decide: Callable[[str], T], *, expects: str, breast_id: str) -> T | None:
    text = facts.get(fact, "").strip()
    try:
        return decide(text) if text else None
    except ValueError as error:
        raise DatasetError(f"breast {breast_id}: {fact} is {text!r}, not {expects}; correct the table") from error
