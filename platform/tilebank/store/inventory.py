"""List what a store holds, table by table."""

from collections.abc import Sequence
from dataclasses import dataclass

import lance
import pyarrow as pa
import pyarrow.compute as pc

from tilebank.errors import StoreError
from tilebank.files import exists, is_local, join_uri
from tilebank.storage_errors import storage_reason
from tilebank.store.commits import open_table, storage_options_of
from tilebank.store.lease.lease import find_holder
from tilebank.store.schema import read_tags

INSTANCES = "instances--"


@dataclass(frozen=True)
class Extracted:
    """How much is stored under one fingerprint."""

    fingerprint: str
    images: int
    tiles: int


@dataclass(frozen=True)
class StoredTable:
    """One table. bytes: of all files, old versions included. dim: of the vectors, 0 without. holder: who writes it."""

    name: str
    rows: int
    bytes: int
    version: int
    versions: int
    dim: int
    extracted: tuple[Extracted, ...]
    licence: str
    redistributable: str
    holder: str


def list_tables(store_uri: str) -> list[StoredTable]:
    """Every table of the store, by name; none where there is no store. Raises StoreError when one cannot be read."""
    import lancedb  # takes a second or more

    try:
        if is_local(store_uri) and not exists(store_uri):  # a bucket that is not there is an error
            return []
        database = lancedb.connect(store_uri, storage_options=storage_options_of(store_uri))
        names = sorted(database.list_tables(limit=100_000).tables)
        return [_described(store_uri, name) for name in names]
    except (OSError, ValueError, RuntimeError) as error:
        raise StoreError(f"cannot list the tables of {store_uri}: {storage_reason(error, store_uri)}") from error


def extracted_in(table: lance.LanceDataset) -> list[Extracted]:
    """Images and tiles by fingerprint."""
    if "kind" not in table.schema.names:
        return []
    counts = pa.table(
        {"fingerprint": pa.array([], pa.string()), "kind": pa.array([], pa.string()), "n": pa.array([], pa.int64())}
    )
    for batch in table.scanner(columns=["fingerprint", "kind"], io_buffer_size=64 << 20).to_batches():
        found = pa.table(batch).group_by(["fingerprint", "kind"]).aggregate([([], "count_all")])
        counts = pa.concat_tables([counts, found.rename_columns(["fingerprint", "kind", "n"])])
        counts = counts.group_by(["fingerprint", "kind"]).aggregate([("n", "sum")]).rename_columns(counts.column_names)
    fingerprints = sorted(counts["fingerprint"].unique().to_pylist())
    return [Extracted(name, _count(counts, name, "view"), _count(counts, name, "tile")) for name in fingerprints]


def _count(counts: pa.Table, fingerprint: str, kind: str) -> int:
    mask = pc.and_(pc.equal(counts["fingerprint"], fingerprint), pc.equal(counts["kind"], kind))
    return int(pc.sum(counts.filter(mask)["n"]).as_py() or 0)


def _described(store_uri: str, name: str) -> StoredTable:
    table = open_table(join_uri(store_uri, f"{name}.lance"))
    files = table.all_files().read_all()
    vector = table.schema.field("vector").type if "vector" in table.schema.names else None
    tags = read_tags(table.schema)
    return StoredTable(
        name=name,
        rows=int(table.count_rows()),
        bytes=int(pc.sum(files["size_bytes"]).as_py() or 0),
        version=int(table.version),
        versions=_manifests(files["path"].to_pylist()),
        dim=int(vector.list_size) if vector else 0,
        extracted=tuple(extracted_in(table)) if name.startswith(INSTANCES) else (),
        licence=tags.get("licence", ""),
        redistributable=tags.get("redistributable", ""),
        holder=find_holder(store_uri, name),
    )


def _manifests(paths: Sequence[str]) -> int:
    return sum(path.endswith(".manifest") for path in paths)
