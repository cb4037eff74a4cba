"""Choose the exams that a fitted head is used on: those that are stored, some of them, or a folder of DICOMs."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from tilebank.datasets.contract import Manifest
from tilebank.errors import ConfigError, DatasetError, StoreError
from tilebank.flows.champion.load import ChosenHead
from tilebank.flows.extract.extract import extract
from tilebank.flows.settings.settings import Settings
from tilebank.flows.validate.rows import relative_uri
from tilebank.store.records import StoredBreast
from tilebank.store.tables import Store
from tilebank.terms import FailureRow


def assert_one_source(exams: Sequence[str], *, from_folder: bool) -> None:
    """Raise ConfigError where exams of a folder are asked for one by one."""
    if from_folder and exams:
        raise ConfigError("--exam picks stored exams; to score one exam of a folder, name its own folder with --folder")


@contextmanager
def vectors_of(
    chosen: ChosenHead, *, from_folder: bool, manifest: Manifest | None = None, kept_in: str = "tilebank-predict-"
) -> Iterator[Settings]:
    """Settings whose store holds the vectors; those of a folder are made now, and go with the block.

    manifest: the folder's, where it is read already; kept_in: how the temporary store's name begins. Raises
    DatasetError for a folder of which nothing can be used.
    """
    if not from_folder:
        yield chosen.settings
        return
    with tempfile.TemporaryDirectory(prefix=kept_in) as store:
        settings = chosen.settings.model_copy(update={"store": store})
        extracted = extract(settings, manifest=manifest)
        if not extracted.views:
            why = "; ".join(f"{count} x {reason}" for reason, count in sorted(extracted.failures.items()))
            raise DatasetError(f"no image below {settings.dataset.root} can be scored: {why}")
        yield settings


def pick_breasts(breasts: Sequence[StoredBreast], exams: Sequence[str]) -> list[StoredBreast]:
    """The breasts of these exams, or all. Raises StoreError where there are none, or naming exams without one."""
    if not breasts:
        raise StoreError("dataset.intake leaves out every stored image; change it to use them")
    if missing := sorted(set(exams) - {breast.exam_id for breast in breasts}):
        raise StoreError(
            f"no view is stored for {len(missing)} of the exams, such as {', '.join(missing[:3])}; exam ids look like"
            f" {breasts[0].exam_id} here; extract the dataset again, or score the exam's folder with --folder"
        )
    return [breast for breast in breasts if not exams or breast.exam_id in exams]


def splits_known(chosen: ChosenHead, settings: Settings) -> dict[str, str]:
    """patient_id -> split of the search that made the head; nobody's where it never saw this dataset."""
    if settings.dataset.name != chosen.card.dataset or not chosen.card.split_scheme:
        return {}
    store = Store(settings.store)
    return store.read_splits(settings.dataset.name, task=chosen.card.task, scheme=chosen.card.split_scheme)


def images_refused(settings: Settings, *, fingerprint: str) -> list[FailureRow]:
    """The images that were not used under a fingerprint, each file named from the dataset's root on."""
    table = Store(settings.store).find_instances(settings.dataset.name, settings.encoder.name)
    failures = table.read_failures(fingerprint) if table else []
    return [replace(row, uri=relative_uri(row.uri, root=settings.dataset.root)) for row in failures]
