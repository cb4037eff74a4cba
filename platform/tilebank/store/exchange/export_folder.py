"""Manage a folder of exported bags on a local disk: its card, its files and its labels.

A file gets its name only when it is complete: it is written under another name, then renamed. So an interrupted export
continues with the missing bags. A folder holds one export, and its card is never overwritten.
"""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from tilebank.errors import StoreError
from tilebank.terms import LabelRow, Split

CARD = "tilebank.json"
LABELS = "labels.csv"
COLUMNS = ("case_id", "slide_id", "exam_id", "label", "split")
UNFINISHED = ".part"


@dataclass(frozen=True)
class ExportCard:
    """Where exported vectors come from; written into every file, and into the folder as JSON.

    provenance: what was declared of vectors made elsewhere.
    """

    layout: str
    dataset: str
    encoder: str
    task: str
    dim: int
    fingerprint: str
    table_version: int
    split_scheme: str
    licence: str
    redistributable: str
    provenance: Mapping[str, str]

    def as_attributes(self) -> dict[str, str]:
        """As flat text, for the attributes of a file; what no other tool speaks of begins with `tilebank_`."""
        said = {name: str(value) for name, value in asdict(self).items() if name != "provenance"}
        shared = {name: said.pop(name) for name in ("encoder", "fingerprint")}
        return dict(self.provenance) | shared | {f"tilebank_{name}": text for name, text in said.items()}


def open_folder(folder: Path, card: ExportCard) -> None:
    """Make the folder, or go on with it. Raises StoreError where it holds another export, or cannot be written."""
    place = folder / CARD
    text = json.dumps(asdict(card), indent=2, sort_keys=True) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        standing = place.read_text(encoding="utf-8") if place.exists() else None
        if standing is None and any(folder.iterdir()):
            raise StoreError(f"{folder} holds other files; choose an empty folder with --out")
        if standing is None:
            with whole_file(place) as unfinished:
                unfinished.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"cannot write to {folder}: {error}; choose another folder with --out") from error
    if standing not in (None, text):
        differ = _differing(standing, card)
        raise StoreError(f"{folder} holds an export that differs in {', '.join(differ)}; choose another with --out")


@contextmanager
def whole_file(place: Path) -> Iterator[Path]:
    """A path to write to, which becomes `place` when the block ends well and goes away when it does not."""
    place.parent.mkdir(parents=True, exist_ok=True)
    unfinished = place.with_name(f".{place.name}{UNFINISHED}")
    try:
        yield unfinished
        unfinished.replace(place)
    finally:
        unfinished.unlink(missing_ok=True)


def write_labels(folder: Path, rows: Sequence[LabelRow], *, split: Split) -> list[dict[str, str]]:
    """Put the labels of one split into the folder's table, those of other splits kept; the whole table.

    The columns are those that CLAM and TRIDENT's tools read: `case_id` the patient, `slide_id` the bag.
    """
    place = folder / LABELS
    kept = []
    if place.exists():
        with place.open(encoding="utf-8", newline="") as stream:
            kept = [row for row in csv.DictReader(stream) if row["split"] != split.value]
    fresh = [
        dict(zip(COLUMNS, (row.patient_id, row.breast_id, row.exam_id, str(row.label), split.value), strict=True))
        for row in rows
    ]
    table = sorted([*kept, *fresh], key=lambda row: (row["split"], row["slide_id"]))
    with whole_file(place) as unfinished, unfinished.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        writer.writerows(table)
    return table


def _differing(standing: str, card: ExportCard) -> list[str]:
    try:
        held = json.loads(standing)
    except ValueError:
        return [CARD]
    return sorted(name for name, value in asdict(card).items() if held.get(name) != value) or [CARD]
