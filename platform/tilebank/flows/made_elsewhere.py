"""What differs for vectors that were made elsewhere: their fingerprint is declared, and views are missing."""

import json
from collections.abc import Mapping, Sequence

from tilebank.errors import ConfigError, StoreError
from tilebank.flows.settings import Settings
from tilebank.mil.bags import BagBatch
from tilebank.mil.heads import build_head
from tilebank.store.tables import Store


def stored_fingerprint(settings: Settings) -> str:
    """The fingerprint that a reader asks for: of the settings, or for vectors made elsewhere the one that is stored.

    Raises StoreError where nothing was imported, and ConfigError where several provenances stand side by side and
    `dataset.fingerprint` names none of them: they are never mixed.
    """
    if not settings.dataset.made_elsewhere:
        return settings.fingerprint
    rows = read_imports(settings)
    known = [row["fingerprint"] for row in rows]
    asked = settings.dataset.fingerprint or (known[0] if len(known) == 1 else "")
    if asked not in known:
        raise ConfigError(
            f"dataset {settings.dataset.name!r} holds vectors of {settings.encoder.name!r} of these provenances, which"
            f" are never mixed; choose one with --set dataset.fingerprint=...: {'; '.join(map(_described, rows))}"
        )
    return asked


def assert_head_reads(bags: BagBatch, settings: Settings) -> None:
    """Raise ConfigError for a head that would see nothing: one of views alone, of bags that hold tiles alone.

    Raises StoreError where some breasts have views or tiles that the head reads and others have none of that kind: an
    image is stored with its view and its tiles, so that table is not whole.
    """
    head = build_head(settings.head, dim=bags.dim, seeds=[0])
    read = head.relevant(bags)
    for kind, offsets in (("view", read.view_offsets), ("tile", read.tile_offsets)):
        without = [bags.breast_ids[place] for place in (offsets.diff() == 0).nonzero().flatten().tolist()]
        if 0 < len(without) < len(bags):
            raise StoreError(
                f"{len(without)} of {len(bags)} breasts have no {kind}, such as {', '.join(without[:3])}; see what is"
                f" missing with: python jobs/store.py verify --dataset {settings.dataset.name} --encoder"
                f" {settings.encoder.name}; then drop the fingerprint and extract again"
            )
    if not read.rows.any():
        raise ConfigError(
            f"head {settings.head_name} reads nothing of dataset {settings.dataset.name!r}: its bags hold"
            f" {len(bags.view_features)} views and {len(bags.tile_features)} tiles; choose another with --head"
        )


def read_imports(settings: Settings) -> list[dict[str, str]]:
    """What is declared of the stored vectors, a row a fingerprint. Raises StoreError where nothing was imported."""
    dataset, encoder = settings.dataset.name, settings.encoder.name
    rows = Store(settings.store).read_imports(dataset, encoder)
    if not rows:
        raise StoreError(
            f"{settings.store} holds no vectors of dataset {dataset!r} and encoder {encoder!r}; bring them in with:"
            f" python jobs/exchange.py import --dataset {dataset} --encoder {encoder} --from LAYOUT --root FOLDER"
        )
    return rows


def provenance_of(rows: Sequence[Mapping[str, str]], fingerprint: str) -> dict[str, str]:
    """What is declared under one fingerprint of `read_imports`; nothing for vectors that were encoded here."""
    found = [row for row in rows if row["fingerprint"] == fingerprint]
    return {"layout": found[0]["layout"], **json.loads(found[0]["provenance"])} if found else {}


def _described(row: Mapping[str, str]) -> str:
    said = ", ".join(f"{name} {text}" for name, text in sorted(json.loads(row["provenance"]).items()))
    return f"{row['fingerprint']} ({row['layout']}: {said or 'nothing declared'})"
