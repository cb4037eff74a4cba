"""A look at a label table: which columns are understood, and how many breasts each task gets."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from tilebank.datasets.contract import DatasetConfig
from tilebank.datasets.labels import TASKS, JointTask, Task
from tilebank.datasets.registry import open_dataset
from tilebank.datasets.tables import read_table
from tilebank.errors import ConfigError, DatasetError

NAMES_A_BREAST = ("breast_id", "exam_id", "laterality")
NAMES_A_SLIDE = ("slide_id", "patient_id", "case_id")
USED_OTHERWISE = ("split",)  # splits.official takes it


@dataclass(frozen=True)
class TaskLabels:
    """A task that the table answers: breasts with a label by answer, or why its column cannot be read."""

    task: str
    counts: Mapping[str, int]
    unreadable: str = ""

    @property
    def usable(self) -> bool:
        """Whether there are two answers to tell apart."""
        return len(self.counts) > 1

    def as_text(self) -> str:
        """One line for people."""
        if self.unreadable:
            return self.unreadable
        told = f"{sum(self.counts.values())}: " + ", ".join(f"{count} {name}" for name, count in self.counts.items())
        return told if self.usable else f"{told}; one answer only, nothing to search for"


@dataclass(frozen=True)
class LabelTable:
    """What a label table holds. exam_ids: of the breasts that it names."""

    uri: str
    breasts: int
    exam_ids: frozenset[str]
    used: tuple[str, ...]
    unused: tuple[str, ...]
    tasks: tuple[TaskLabels, ...]


def look_at_labels(config: DatasetConfig) -> LabelTable:
    """Read the label CSV of `config`.

    Raises DatasetError for a table that is missing or damaged, or that names no breast, ConfigError for one that
    answers no task.
    """
    rows = read_table(config.labels, required=())
    columns = list(rows[0]) if rows else []
    truth = open_dataset(config).read_truth()
    tasks = [found for task in TASKS.values() if (found := _labels_of(task, truth)) is not None]
    facts = {fact for task in TASKS.values() for fact in task.facts}
    if not tasks:
        raise ConfigError(
            f"{config.labels} answers no task: it has the columns {', '.join(columns) or 'of an empty table'}; give at"
            f" least one of {', '.join(sorted(facts))}, and fill it"
        )
    known = {*NAMES_A_BREAST, *NAMES_A_SLIDE, *USED_OTHERWISE, *facts}
    return LabelTable(
        uri=config.labels,
        breasts=len(truth),
        exam_ids=frozenset(breast_id.rpartition("_")[0] for breast_id in truth),
        used=tuple(name for name in columns if name in known),
        unused=tuple(name for name in columns if name not in known),
        tasks=tuple(tasks),
    )


def _labels_of(task: Task | JointTask, truth: Mapping[str, Mapping[str, str]]) -> TaskLabels | None:
    """The labels of one task; None where the table says nothing of it."""
    try:
        labels = [task.label(facts, breast_id=breast_id) for breast_id, facts in truth.items()]
    except DatasetError as error:
        return TaskLabels(task.name, {}, unreadable=str(error))
    counts = Counter(label for label in labels if label is not None)
    return TaskLabels(task.name, {_named(task, label): counts[label] for label in sorted(counts)}) if counts else None


def _named(task: Task | JointTask, label: int) -> str:
    if isinstance(task, Task):
        return task.answers[label]
    return " and ".join(name for place, name in enumerate(task.answers) if label >> place & 1) or "neither"
