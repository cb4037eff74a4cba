"""Turn a task into the outputs of its head and its labels into arrays, and check that every split has each class."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tilebank.datasets.labels import JointTask, Task
from tilebank.datasets.splits import SplitConfig
from tilebank.errors import ConfigError, DatasetError
from tilebank.mil.contract.outputs import BINARY, Outputs
from tilebank.terms import LabelRow, Split

SCARCE = 5  # breasts of a class, below which a search is warned of


def outputs_of(task: Task | JointTask) -> Outputs:
    """Several labels at once: a sigmoid each. More than two classes: a softmax. Else one logit."""
    if isinstance(task, JointTask):
        return Outputs("multilabel", len(task.parts))
    return BINARY if len(task.answers) == 2 else Outputs("multiclass", len(task.answers))


def label_array(task: Task | JointTask, rows: Sequence[LabelRow]) -> NDArray[np.int64]:
    """The labels of some breasts as their head's outputs want them: (B,) classes, or (B, C) of 0 and 1."""
    numbers = np.asarray([row.label for row in rows], dtype=np.int64)
    if isinstance(task, JointTask):
        return numbers[:, None] >> np.arange(len(task.parts)) & 1  # the bits of JointTask.label
    return numbers


def count_answers(task: Task | JointTask, rows: Sequence[LabelRow]) -> dict[str, int]:
    """Breasts of each class by its name; of several labels, those that are positive and negative for each."""
    labels = label_array(task, rows)
    if not isinstance(task, JointTask):
        return {name: int((labels == place).sum()) for place, name in enumerate(task.answers)}
    counts: dict[str, int] = {}
    for place, name in enumerate(task.answers):
        positives = int(labels[:, place].sum())
        counts |= {f"positive for {name}": positives, f"negative for {name}": len(rows) - positives}
    return counts


def assert_every_answer(task: Task | JointTask, rows: Mapping[Split, Sequence[LabelRow]], config: SplitConfig) -> None:
    """Raise DatasetError where a split lacks a class: no head can be fitted, chosen or evaluated without.

    Each class needs a breast in each split; each of several labels needs a breast with it and one without.
    """
    everywhere = count_answers(task, [row for part in rows.values() for row in part])
    never = [name for name, count in everywhere.items() if not count]
    if never:
        raise DatasetError(
            f"task {task.name!r}: no breast is {' or '.join(never)} ({_in_words(everywhere)}); label breasts that are,"
            " or choose another task with --task"
        )
    for split, part in rows.items():
        counts = count_answers(task, part)
        missing = [name for name, count in counts.items() if not count]
        if missing:
            patients = len({row.patient_id for row in part})
            raise DatasetError(
                f"task {task.name!r}: no breast of the {split.value} split is {' or '.join(missing)}"
                f" ({_in_words(counts)}; {patients} patients), and every split needs each; label more patients, give"
                f" the split a larger share (splits.val is {config.val:g}, splits.test {config.test:g}, splits.fraction"
                f" {config.fraction:g}), or draw the splits again with another splits.seed (it is {config.seed})"
            )


def scarce_answers(task: Task | JointTask, rows: Mapping[Split, Sequence[LabelRow]]) -> str:
    """A warning where a class has fewer than SCARCE breasts in validation or test; empty where none has."""
    few = [
        f"{count} of {len(rows[split])} breasts of the {split.value} split {'is' if count == 1 else 'are'} {name}"
        for split in (Split.VAL, Split.TEST)
        for name, count in count_answers(task, rows[split]).items()
        if 0 < count < SCARCE
    ]
    advice = "with so few, the choice of a champion and its figures are close to chance; label more patients"
    return f"only {', '.join(few)}: {advice}" if few else ""


def assert_weights(task: Task | JointTask, *, positive_weights: Sequence[object]) -> None:
    """Raise ConfigError where a weight of positives is asked for and the task's classes have none."""
    asked = [weight for weight in positive_weights if weight is not None]
    if asked and outputs_of(task).kind == "multiclass":
        raise ConfigError(
            f"search.positive_weight is {asked[0]}, and the classes {', '.join(task.answers)} of task"
            f" {task.name!r} are more than two; leave it out, and weigh classes with search.fit.class_weight"
        )


def _in_words(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())
