"""A task's labels and splits laid over stored vectors: what a search, or a person in a notebook, reads."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from tilebank.datasets.labels import label_breasts
from tilebank.datasets.registry import open_dataset
from tilebank.datasets.splits import assert_no_leak, plan_splits
from tilebank.datasets.study import Breast
from tilebank.flows.settings import Settings
from tilebank.mil.bags import BagBatch
from tilebank.store.reader import BagArrays, Reader
from tilebank.store.tables import Store
from tilebank.terms import LabelRow, Laterality, Split


@dataclass(frozen=True)
class LabelledBags:
    """The breasts of one split as arrays: what Ray keeps once a node, and every pack reads without a copy."""

    bags: BagArrays
    labels: NDArray[np.int64]

    def as_batch(self) -> BagBatch:
        """The same as tensors, features not copied."""
        bags = self.bags
        return BagBatch.from_arrays(
            view_features=bags.view_features,
            view_offsets=bags.view_offsets,
            tile_features=bags.tile_features,
            tile_offsets=bags.tile_offsets,
            breast_ids=bags.breast_ids,
            labels=self.labels,
        )


@dataclass(frozen=True)
class LabelledStudy:
    """The labelled breasts of a study by split, and the pinned table that holds their vectors."""

    reader: Reader
    rows: Mapping[Split, Sequence[LabelRow]]

    def read(self, split: Split) -> LabelledBags:
        """The vectors and labels of one split, read from the store at each call."""
        rows = self.rows[split]
        bags = self.reader.read_bags([row.breast_id for row in rows])
        return LabelledBags(bags, np.asarray([row.label for row in rows], dtype=np.int64))


def open_study(settings: Settings, *, task: str) -> LabelledStudy:
    """Label and split the stored breasts for `task`; labels and splits are written beside the vectors.

    Raises TilebankError when there are no vectors, no labels, or too few patients.
    """
    dataset = settings.dataset.name
    reader = Reader(settings.store, dataset=dataset, encoder=settings.encoder.name, fingerprint=settings.fingerprint)
    labels = _label(settings, reader, task=task)
    splits = plan_splits(labels, settings.splits)
    rows = {split: [row for row in labels if splits[row.patient_id] is split] for split in Split}
    assert_no_leak({split: [row.patient_id for row in part] for split, part in rows.items()})
    _write_truth(settings, labels=labels, splits=splits, task=task)
    return LabelledStudy(reader, rows)


def _label(settings: Settings, reader: Reader, *, task: str) -> list[LabelRow]:
    breasts = [
        Breast(row.patient_id, row.exam_id, row.breast_id, Laterality(row.laterality)) for row in reader.read_breasts()
    ]
    truth = open_dataset(settings.dataset).read_truth(breasts)
    return label_breasts(task, breasts, truth, dataset=settings.dataset.name)


def _write_truth(settings: Settings, *, labels: Sequence[LabelRow], splits: Mapping[str, Split], task: str) -> None:
    store, dataset = Store(settings.store), settings.dataset.name
    store.write_labels(dataset, [asdict(row) for row in labels], licence=settings.licence)
    common = {"dataset": dataset, "task": task, "seed": settings.splits.seed}
    rows = [common | {"patient_id": patient_id, "split": splits[patient_id].value} for patient_id in sorted(splits)]
    store.write_splits(dataset, rows, licence=settings.licence)
