"""Open a study: the labels and splits of a task for the stored vectors, for a search or a notebook."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial

from tilebank.datasets.contract import DatasetConfig, Truth
from tilebank.datasets.intake import is_included
from tilebank.datasets.labels import TASKS, Breast, JointTask, Task, label_breasts, task_named
from tilebank.datasets.registry import open_dataset
from tilebank.datasets.splits import assert_no_leak, keep_fraction, official_splits, plan_splits
from tilebank.errors import DatasetError, TooFewLabelsError
from tilebank.flows.settings.settings import Settings
from tilebank.flows.study.declared_fingerprints import stored_fingerprint
from tilebank.flows.study.labelled_bags import LabelledBags
from tilebank.flows.study.outputs import assert_every_answer, label_array, outputs_of
from tilebank.store.reader import Reader
from tilebank.store.tables import Store
from tilebank.terms import LabelRow, Split

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LabelledStudy:
    """The breasts labelled for a task by split, the pinned table that holds their vectors, and the owner's facts."""

    task: Task | JointTask
    reader: Reader
    rows: Mapping[Split, Sequence[LabelRow]]
    facts: Truth

    def read(self, split: Split) -> LabelledBags:
        """The vectors and labels of one split, read from the store at each call."""
        rows = self.rows[split]
        bags = self.reader.read_bags([row.breast_id for row in rows])
        return LabelledBags(bags, label_array(self.task, rows), outputs_of(self.task))


def open_study(settings: Settings, *, task: str) -> LabelledStudy:
    """Label and split the stored breasts for `task`; labels and splits are written beside the vectors.

    Train patients that `splits.fraction` leaves out are in the tables, but in no split here. Raises TilebankError when
    there are no vectors, no labels, or too few patients, or a split lacks one of the task's answers.
    """
    question = task_named(task)
    reader = open_reader(settings)
    breasts = reader.read_breasts()
    facts = _read_truth(settings.dataset, breasts)
    labels, whole = _plan(settings, breasts, facts, task=task)
    splits = keep_fraction(whole, labels, settings.splits)
    rows = {split: [row for row in labels if splits.get(row.patient_id) is split] for split in Split}
    assert_no_leak({split: [row.patient_id for row in part] for split, part in rows.items()})
    assert_every_answer(question, rows, settings.splits)
    _write_truth(settings, labels=labels, splits=whole, task=task)
    return LabelledStudy(question, reader, rows, facts)


def open_reader(settings: Settings) -> Reader:
    """The stored vectors that these settings made, images that the intake does not ask for left out.

    Raises StoreError where there are none.
    """
    return Reader(
        settings.store,
        dataset=settings.dataset.name,
        encoder=settings.encoder.name,
        fingerprint=stored_fingerprint(settings),
        include=partial(is_included, intake=settings.dataset.intake),
    )


def plan_study(settings: Settings, breasts: Sequence[Breast], *, task: str) -> tuple[list[LabelRow], dict[str, Split]]:
    """The labels of `breasts` and patient_id -> split, as a search would take them; needs no vectors, writes nothing.

    `breasts` may be the rows of a manifest. Patients whose split the store already holds stay there; train patients
    that `splits.fraction` leaves out have no split. Raises TilebankError for an unknown task, no labels, or too few
    patients.
    """
    task_named(task)
    labels, whole = _plan(settings, breasts, _read_truth(settings.dataset, breasts), task=task)
    return labels, keep_fraction(whole, labels, settings.splits)


def _plan(
    settings: Settings, breasts: Sequence[Breast], truth: Truth, *, task: str
) -> tuple[list[LabelRow], dict[str, Split]]:
    """Labels, and the split of every labelled patient."""
    labels = label_breasts(task, breasts, truth=truth, dataset=settings.dataset.name)
    _assert_classes(labels, task=task)
    official = official_splits(breasts, truth) if settings.splits.official else {}
    return labels, plan_splits(labels, settings.splits, held=_held(settings, task=task), official=official)


def _assert_classes(labels: Sequence[LabelRow], *, task: str) -> None:
    """Raise TooFewLabelsError where there is nothing to tell apart, however many more are labelled."""
    classes = {row.label for row in labels}
    if len(classes) == 1:
        others = ", ".join(name for name in TASKS if name != task)
        alike = f"are of class {classes.pop()} ({labels[0].rule})"
        raise TooFewLabelsError(
            f"all {len(labels)} breasts with a label for {task!r} {alike}; choose another task with --task: {others}",
            short=f"all {len(labels)} labelled breasts {alike}",
        )


def _read_truth(config: DatasetConfig, breasts: Sequence[Breast]) -> Truth:
    """The dataset's facts. Raises DatasetError when they are about none of `breasts`."""
    truth = open_dataset(config).read_truth()
    known = {breast.breast_id for breast in breasts}
    if not known & truth.keys():
        raise DatasetError(
            f"the labels of dataset {config.name!r} name none of its images' breasts (they name"
            f" {min(truth, default='none')}, the images are of {min(known, default='none')}); {_advice(config)}"
        )
    if unknown := sorted(truth.keys() - known):
        # An owner's tables name more than anybody has downloaded; one's own table should not.
        level = logging.WARNING if config.made_elsewhere or config.adapter == "folder" else logging.INFO
        said = "labels of %d of %d breasts have no images here, such as %s"
        logger.log(level, said, len(unknown), len(truth), ", ".join(unknown[:3]))
    return truth


def _advice(config: DatasetConfig) -> str:
    if config.ids == "keyed-hash":
        return "set TILEBANK_ID_KEY to the key, and dataset.ids to what it was, when the images were extracted"
    if config.made_elsewhere:
        return f"check the slide ids in {config.labels}, and dataset.bag (it is {config.bag})"
    if config.adapter == "folder":
        return f"check the exam ids in {config.labels}, or --set dataset.exam_key=study_uid (it is {config.exam_key})"
    return f"check that the tables and the images below {config.root} are of one release"


def _held(settings: Settings, *, task: str) -> dict[str, Split]:
    """What the store says of this task's patients, those without a label any more included."""
    held = Store(settings.store).read_splits(settings.dataset.name, task=task, scheme=settings.splits.scheme)
    return {patient_id: Split(split) for patient_id, split in held.items()}


def _write_truth(settings: Settings, *, labels: Sequence[LabelRow], splits: Mapping[str, Split], task: str) -> None:
    """The labels, and the splits of all who have or had one: who comes back finds its place."""
    store, dataset = Store(settings.store), settings.dataset.name
    store.write_labels(dataset, [asdict(row) for row in labels], licence=settings.licence)
    whole = _held(settings, task=task) | dict(splits)
    common = {"dataset": dataset, "task": task, "scheme": settings.splits.scheme, "seed": settings.splits.seed}
    rows = [common | {"patient_id": patient_id, "split": whole[patient_id].value} for patient_id in sorted(whole)]
    store.write_splits(dataset, rows, licence=settings.licence)
