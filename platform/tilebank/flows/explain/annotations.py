"""Read what a dataset knows about breasts and images: labels for a task, and annotated boxes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tilebank.datasets.labels import TASKS, JointTask, label_breasts
from tilebank.datasets.registry import open_dataset
from tilebank.errors import DatasetError
from tilebank.flows.settings.settings import Settings
from tilebank.store.records import StoredBreast
from tilebank.terms import Finding


@dataclass(frozen=True)
class Annotations:
    """labels: breast_id -> 0 or 1, for yes-no tasks only; findings: image_id -> its annotated boxes.

    no_labels: why there are none, empty where there are.
    """

    labels: Mapping[str, int]
    findings: Mapping[str, tuple[Finding, ...]]
    no_labels: str = ""


def read_annotations(settings: Settings, breasts: Sequence[StoredBreast], *, task: str, wanted: bool) -> Annotations:
    """What is known of these breasts. wanted: raise DatasetError where the dataset has no boxes."""
    findings: dict[str, list[Finding]] = {}
    for finding in open_dataset(settings.dataset).read_findings():
        findings.setdefault(finding.image_id, []).append(finding)
    if wanted and not findings:
        raise DatasetError(
            f"dataset {settings.dataset.name!r} has no annotated boxes to compare the maps with; leave --boxes out"
        )
    try:
        labels, no_labels = _labels(settings, breasts, task=task), ""
    except DatasetError as error:  # a map needs none
        labels, no_labels = {}, str(error)
    return Annotations(labels, {image_id: tuple(some) for image_id, some in findings.items()}, no_labels)


def _labels(settings: Settings, breasts: Sequence[StoredBreast], *, task: str) -> dict[str, int]:
    question = TASKS.get(task)
    if question is None or isinstance(question, JointTask) or len(question.answers) != 2:
        raise DatasetError(f"{task} is not a yes-no task with a labelling rule here")
    truth = open_dataset(settings.dataset).read_truth()
    rows = label_breasts(task, breasts, truth=truth, dataset=settings.dataset.name)
    return {row.breast_id: row.label for row in rows}
