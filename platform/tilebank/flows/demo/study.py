"""The phantom studies of the demonstration, and the names that keep their files and tables apart."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tilebank.flows.settings.settings import Settings
from tilebank.phantom.config import PhantomConfig
from tilebank.phantom.plan import PhantomExam

FULL_DATASET = "phantom"
DATASET = "demo"
SMALL = PhantomConfig(patients=150, max_exams=1, rows=1536, columns=1152)
FULL = PhantomConfig()
BYTES_A_PIXEL = 1.15  # of a written DICOM, a mean over the four vendors' transfer syntaxes


@dataclass(frozen=True)
class DemoStudy:
    """Phantoms to write, and the settings under which they are extracted and searched.

    flags: what other jobs need to be told to work on the same study.
    """

    settings: Settings
    phantoms: PhantomConfig
    flags: str


def dataset_of(*, full: bool) -> str:
    """The dataset file in conf/ of the small or the full study: each has its own root and its own tables."""
    return FULL_DATASET if full else DATASET


def study_of(settings: Settings, *, full: bool, patients: int | None = None) -> DemoStudy:
    """The study that was asked for. Another number of patients has a root and tables of its own too."""
    dataset, phantoms = settings.dataset, FULL if full else SMALL
    flags = f"--dataset {dataset.name}"
    if patients is not None and patients != phantoms.patients:
        phantoms = replace(phantoms, patients=patients)
        dataset = replace(dataset, name=f"{dataset.name}-{patients}", root=f"{dataset.root}-{patients}")
        flags += f" --set dataset.name={dataset.name} --root {dataset.root}"
    return DemoStudy(settings.model_copy(update={"dataset": dataset}), phantoms, flags)


def size_of(phantoms: PhantomConfig, exams: Sequence[PhantomExam]) -> str:
    """The study's size in words: images, exams, patients, pixels and gigabytes on disk."""
    images = 4 * len(exams)
    gigabytes = images * phantoms.rows * phantoms.columns * BYTES_A_PIXEL / 1e9
    return (
        f"{images} images of {phantoms.rows} x {phantoms.columns} pixels, {len(exams)} exams of {phantoms.patients}"
        f" patients, about {gigabytes:.1f} GB"
    )
