"""Import a head that was fitted elsewhere, with the published code's parameter names, and write its card.

The user states what the checkpoint does not hold: which vectors it reads, its task, and whether its vectors had length
one. None of that can be checked here, and the card says so.
"""

import hashlib
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from tilebank.datasets.labels import task_named
from tilebank.errors import ConfigError, HeadError
from tilebank.files import join_uri
from tilebank.flows.champion.card import DECLARED, HeadCard
from tilebank.flows.champion.code_revision import run_source
from tilebank.flows.champion.files import served_model
from tilebank.flows.reporting.job import aligned
from tilebank.flows.settings.settings import Settings
from tilebank.flows.study.declared_fingerprints import stored_fingerprint
from tilebank.flows.study.outputs import outputs_of
from tilebank.mil.explaining.tile_attention import why_no_attention
from tilebank.mil.heads.parts.dual_stream_branch import StreamPooling
from tilebank.mil.heads.registry import Head, save_head
from tilebank.mil.published import import_published, read_checkpoint
from tilebank.store.schema import table_name
from tilebank.tracking.inputs import DatasetUsed
from tilebank.tracking.registry import register_head
from tilebank.tracking.runs import Tracker, experiment_name

THRESHOLD_RULE = "stated when the head was imported; how it was chosen is not known"


@dataclass(frozen=True)
class Stated:
    """What the checkpoint does not say. threshold: None for none; the poolings count where it has no attention."""

    task: str
    l2_normalise: bool
    threshold: float | None = None
    view_pooling: StreamPooling = "max"
    tile_pooling: StreamPooling = "max"


@dataclass(frozen=True)
class ImportSummary:
    """What was imported. registered: empty where it was not."""

    folder: str
    card: HeadCard
    parameters: int
    dim: int
    attention: bool
    registered: str

    def as_dict(self) -> dict[str, object]:
        """JSON values."""
        return asdict(self)

    def as_text(self) -> str:
        """What it is taken to be, and how to use it."""
        card = self.card
        tiles = "by attention" if self.attention else "without attention, so there are no top tiles"
        none = "none stated (--threshold): scores are not compared with one"
        return aligned(
            [
                ("head", f"{self.parameters} parameters, vectors of {self.dim} numbers, tiles {tiles}"),
                ("stated", f"{card.task} on {card.dataset}; vectors of {card.encoder}, fingerprint {card.fingerprint}"),
                ("threshold", none if card.threshold is None else f"{card.threshold:g}: {card.threshold_rule}"),
                ("folder", self.folder),
                ("registered", self.registered or "no (--register NAME)"),
                ("score with it", f"tilebank predict --head {self.folder} --folder DICOMS"),
            ]
        )


def import_head(settings: Settings, stated: Stated, *, checkpoint: Path, folder: Path, register: str) -> ImportSummary:
    """Write the head of `checkpoint` into the new folder `folder`, and register it as `register` where that is said.

    It never becomes a champion: those are chosen by a validation AUC. Raises TilebankError for a checkpoint that is no
    published head, one that reads other vectors than the encoder gives, or a folder that is taken.
    """
    outputs = outputs_of(task_named(stated.task))
    if stated.threshold is not None and not math.isfinite(stated.threshold):
        raise ConfigError(f"--threshold {stated.threshold} is not a finite number")
    head = import_published(
        read_checkpoint(checkpoint),
        l2_normalise=stated.l2_normalise,
        view_pooling=stated.view_pooling,
        tile_pooling=stated.tile_pooling,
        outputs=outputs,
    )
    if head.dim != settings.encoder.dim:
        raise HeadError(
            f"the head in {checkpoint} reads vectors of {head.dim} numbers, the encoder {settings.encoder.name} gives"
            f" {settings.encoder.dim}; name the encoder that it was fitted on with --encoder"
        )
    card = HeadCard.of_settings(
        settings,
        task=stated.task,
        fingerprint=stored_fingerprint(settings),
        found={"threshold": repr(stated.threshold), "threshold_rule": THRESHOLD_RULE}
        if stated.threshold is not None
        else {},
        origin=DECLARED,
        source=_source_of(checkpoint),
    )
    _write(head, card, folder)
    return ImportSummary(
        folder=str(folder),
        card=card,
        parameters=sum(values.numel() for values in head.parameters()),
        dim=head.dim,
        attention=not why_no_attention(head),
        registered=_register(settings, card, head, folder=folder, name=register) if register else "",
    )


def _write(head: Head, card: HeadCard, folder: Path) -> None:
    """Raises HeadError for a folder that is taken or cannot be made."""
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise HeadError(f"{folder} exists already; name a new or empty folder with --out")
        save_head(head, folder, metadata=card.as_metadata())
    except OSError as error:
        raise HeadError(f"cannot write the head to {folder}: {error}; choose another folder with --out") from error


def _register(settings: Settings, card: HeadCard, head: Head, *, folder: Path, name: str) -> str:
    """A run of its own, apart from the searches of this task, with the head as a version of `name`."""
    experiment = f"{experiment_name(card.dataset, task=card.task)}--{DECLARED}"
    tracker = Tracker(settings.tracking, experiment=experiment, artifacts=settings.artifacts, source=run_source())
    said = {key: text for key, text in card.as_metadata().items() if key != "vectors"}
    with tracker.run(f"{DECLARED}--{name}", params={"source": card.source}, tags=said) as run_id:
        tracker.log_datasets(run_id, [_dataset_stated(settings, card)])
        example = np.zeros((1, head.dim), np.float16)
        model = served_model(head, folder, views=example, tiles=example)
        return register_head(settings.tracking, model, name=name, run_id=run_id, val_auc=None).as_text()


def _dataset_stated(settings: Settings, card: HeadCard) -> DatasetUsed:
    """The vectors that the head is said to read; no version of their table is known."""
    name = table_name("instances", card.dataset, card.encoder)
    return DatasetUsed(name, 0, card.fingerprint, join_uri(settings.store, f"{name}.lance"), context="stated")


def _source_of(checkpoint: Path) -> str:
    with checkpoint.open("rb") as stream:
        return f"{checkpoint.name}, SHA-256 {hashlib.file_digest(stream, 'sha256').hexdigest()}"
