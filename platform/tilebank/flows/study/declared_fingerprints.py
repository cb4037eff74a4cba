"""Find the fingerprint of stored vectors; for imported ones it is declared, with where they come from."""

import json
from collections.abc import Mapping, Sequence

from tilebank.errors import ConfigError, StoreError
from tilebank.flows.settings.settings import Settings
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


def read_imports(settings: Settings) -> list[dict[str, str]]:
    """What is declared of the stored vectors, a row a fingerprint. Raises StoreError where nothing was imported."""
    dataset, encoder = settings.dataset.name, settings.encoder.name
    rows = Store(settings.store).read_imports(dataset, encoder)
    if not rows:
        raise StoreError(
            f"{settings.store} holds no vectors of dataset {dataset!r} and encoder {encoder!r}; bring them in with:"
            f" tilebank exchange import --dataset {dataset} --encoder {encoder} --from LAYOUT --root FOLDER"
        )
    return rows


def provenance_of(rows: Sequence[Mapping[str, str]], fingerprint: str) -> dict[str, str]:
    """What is declared under one fingerprint of `read_imports`; nothing for vectors that were encoded here."""
    found = [row for row in rows if row["fingerprint"] == fingerprint]
    return {"layout": found[0]["layout"], **json.loads(found[0]["provenance"])} if found else {}


def _described(row: Mapping[str, str]) -> str:
    said = ", ".join(f"{name} {text}" for name, text in sorted(json.loads(row["provenance"]).items()))
    return f"{row['fingerprint']} ({row['layout']}: {said or 'nothing declared'})"
