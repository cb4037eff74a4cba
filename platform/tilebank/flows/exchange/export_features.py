"""Export one split of a study, bag by bag, with labels and provenance, for other tools. Needs no Ray.

Bags that are in the folder already are skipped, so after an interruption the same command resumes. One bag at a time is
in memory.
"""

import csv
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tilebank.errors import StoreError
from tilebank.flows.reporting.job import aligned
from tilebank.flows.reporting.progress import progress_bar
from tilebank.flows.settings.settings import Settings
from tilebank.flows.study.declared_fingerprints import provenance_of
from tilebank.flows.study.study import LabelledStudy, open_study
from tilebank.store.exchange.export_folder import ExportCard, open_folder, whole_file, write_labels
from tilebank.store.exchange.h5 import H5_LAYOUTS, bag_place, clam_splits, write_bag
from tilebank.store.exchange.parquet import ShardWriter, write_dataset_card, written_bags
from tilebank.store.tables import Store
from tilebank.terms import LabelRow, Split


@dataclass(frozen=True)
class ExportRequest:
    """What is asked for: a layout of EXPORTS, a split, a folder. licence_allows: the caller knows that it may."""

    layout: str
    split: Split
    out: Path
    licence_allows: bool = False


@dataclass(frozen=True)
class ExportSummary:
    """What one run wrote."""

    card: ExportCard
    split: str
    out: str
    bags: int
    written: int
    instances: int
    wall_s: float

    def as_dict(self) -> dict[str, object]:
        """JSON values."""
        return vars(self) | {"card": self.card.as_attributes()}

    def as_text(self) -> str:
        """What is there now."""
        card, before = self.card, self.bags - self.written
        stood = f", {before} were there before" if before else ""
        return aligned(
            [
                ("exported", f"{card.dataset} / {card.encoder}, {self.split} of {card.task}, as {card.layout}"),
                (
                    "bags written",
                    f"{self.written} ({self.instances} instances){stood}",
                ),
                ("fingerprint", f"{card.fingerprint}, table version {card.table_version}"),
                ("licence", f"{card.licence}, redistributable: {card.redistributable}"),
                ("time", f"{self.wall_s:.1f} s"),
                ("folder", self.out),
            ]
        )


def export_features(settings: Settings, request: ExportRequest, *, task: str) -> ExportSummary:
    """Write the labelled bags of one split into a folder.

    Raises StoreError before anything is written where the licence forbids it, or the folder holds something else.
    """
    began = time.perf_counter()
    _assert_allowed(settings, allowed=request.licence_allows)
    study = open_study(settings, task=task)
    rows, card = study.rows[request.split], _card(settings, study, layout=request.layout, task=task)
    open_folder(request.out, card)
    write = _write_h5 if request.layout in H5_LAYOUTS else _write_shards
    written = instances = 0
    with progress_bar("export", unit="bag", total=len(rows)) as bar:
        for count in write(request, card, study):
            written, instances = written + 1, instances + count
            bar.update()
        bar.update(len(rows) - written)
    _write_beside(request, card, rows)
    return ExportSummary(
        card=card,
        split=request.split.value,
        out=str(request.out),
        bags=len(rows),
        written=written,
        instances=instances,
        wall_s=time.perf_counter() - began,
    )


def _assert_allowed(settings: Settings, *, allowed: bool) -> None:
    """Raise StoreError unless what is stored may be passed on, by the tag of its table and of its configuration."""
    dataset, encoder = settings.dataset.name, settings.encoder.name
    tags = (settings.licence, Store(settings.store).read_licence(dataset, encoder))
    closed = next((tag for tag in tags if tag.get("redistributable") != "true"), None)
    if closed and not allowed:
        raise StoreError(
            f"vectors of dataset {dataset!r} may not be passed on (licence: {closed.get('licence') or 'not stated'},"
            " redistributable: false); nothing was written. If the owner allows it, or you keep the copy, add"
            " --licence-allows"
        )


def _card(settings: Settings, study: LabelledStudy, *, layout: str, task: str) -> ExportCard:
    dataset, encoder, fingerprint = settings.dataset.name, settings.encoder.name, study.reader.fingerprint
    imports = Store(settings.store).read_imports(dataset, encoder)
    return ExportCard(
        layout=layout,
        dataset=dataset,
        encoder=encoder,
        task=task,
        dim=study.reader.dim,
        fingerprint=fingerprint,
        table_version=study.reader.version,
        split_scheme=settings.splits.scheme,
        provenance=provenance_of(imports, fingerprint),
        **settings.licence,
    )


def _write_h5(request: ExportRequest, card: ExportCard, study: LabelledStudy) -> Iterator[int]:
    for row in study.rows[request.split]:
        place = bag_place(request.out, row.breast_id, card)
        if not place.exists():
            yield write_bag(place, study.reader.read_instances(row.breast_id), card)


def _write_shards(request: ExportRequest, card: ExportCard, study: LabelledStudy) -> Iterator[int]:
    done = written_bags(request.out, request.split)
    pending = [row for row in study.rows[request.split] if row.breast_id not in done]
    bags = ((row, study.reader.read_instances(row.breast_id)) for row in pending)
    yield from ShardWriter(request.out, request.split, card).write(bags)


def _write_beside(request: ExportRequest, card: ExportCard, rows: Sequence[LabelRow]) -> None:
    """What lies beside the bags: labels for all, and what a tool wants besides."""
    labels = write_labels(request.out, rows, split=request.split)
    if request.layout == "clam":
        splits = clam_splits(labels)
        with whole_file(request.out / "splits_0.csv") as place, place.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, ["", "train", "val", "test"])
            writer.writeheader()
            writer.writerows(splits)
    if request.layout == "hf":
        write_dataset_card(request.out, card)
