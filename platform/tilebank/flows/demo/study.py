"""The phantom studies of the demonstration, and the names that keep their files and tables apart."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tilebank.flows.settings.choices import Choices
from tilebank.flows.settings.settings import Settings
from tilebank.phantom.config import PhantomConfig
from tilebank.phantom.plan import PhantomExam, count_images

FULL_DATASET = "phantom"
DATASET = "demo"
SMALL = PhantomConfig(patients=80, max_exams=1)
FULL = PhantomConfig()
TWO_CORES = 2
READ_CPUS = 0.5  # on two cores: reading an image takes twice as long as encoding it, so two are read at a time
# Fewer patients than the full study: a larger share of them for choosing the champion and for testing it.
SMALL_SPLITS = ("splits.val=0.15", "splits.test=0.25")
BYTES_A_PIXEL = 2.0
COMPRESSED = 1.15  # a mean over the four vendors, of whom two compress


@dataclass(frozen=True)
class DemoStudy:
    """Phantoms to write, and the settings under which they are extracted and searched.

    flags: what other jobs need to be told to work on the same study; full: the larger study, its files compressed as
    their vendors do.
    """

    settings: Settings
    phantoms: PhantomConfig
    flags: str
    full: bool = False


def dataset_of(*, full: bool) -> str:
    """The dataset file in conf/ of the small or the full study: each has its own root and its own tables."""
    return FULL_DATASET if full else DATASET


def choices_of_study(choices: Choices, *, full: bool) -> Choices:
    """The user's choices for the demonstration: the small study is split 60/15/25 unless they say otherwise."""
    said = choices.set if full else (*SMALL_SPLITS, *choices.set)
    return replace(choices, dataset=dataset_of(full=full), set=said)


def study_of(settings: Settings, *, full: bool, patients: int | None = None, cores: int | None = None) -> DemoStudy:
    """The study that was asked for, on this machine's `cores`. Another number of patients has its own root and tables.

    On two cores a reading task reserves less of them; no vector depends on that.
    """
    dataset, phantoms = settings.dataset, FULL if full else SMALL
    flags = f"--dataset {dataset.name}"
    if patients is not None and patients != phantoms.patients:
        phantoms = replace(phantoms, patients=patients)
        dataset = replace(dataset, name=f"{dataset.name}-{patients}", root=f"{dataset.root}-{patients}")
        flags += f" --set dataset.name={dataset.name} --root {dataset.root}"
    extraction = settings.extraction
    if not full and (cores or os.cpu_count() or 1) <= TWO_CORES:
        extraction = replace(extraction, read_cpus=READ_CPUS)
    changed = {"dataset": dataset, "extraction": extraction}
    return DemoStudy(settings.model_copy(update=changed), phantoms, flags, full)


def size_of(study: DemoStudy, exams: Sequence[PhantomExam]) -> str:
    """The study's size in words: images, exams, patients, pixels and gigabytes on disk."""
    images, phantoms = count_images(exams), study.phantoms
    gigabytes = images * phantoms.rows * phantoms.columns * (COMPRESSED if study.full else BYTES_A_PIXEL) / 1e9
    return (
        f"{images} images of {phantoms.rows} x {phantoms.columns} pixels, {len(exams)} exams of {phantoms.patients}"
        f" patients, about {gigabytes:.1f} GB"
    )
