"""Write the store's tables: instances, failures, labels, splits, predictions. Each has one writer, its lease's holder.

A stored view row is an image's completion marker, so all rows of an image go into one commit (one Lance transaction,
which either becomes the next version whole or leaves nothing).
"""

import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import fields
from functools import partial

import lance
import pyarrow as pa
import pyarrow.compute as pc

from tilebank.errors import StoreError
from tilebank.files import exists, join_uri, write_bytes
from tilebank.storage_errors import storage_reason
from tilebank.store.commits import Guard, append_once, open_table, retry, storage_options_of, unguarded
from tilebank.store.indices import build_indices
from tilebank.store.schema import (
    FAILURES,
    IMPORTS,
    LABELS,
    PREDICTIONS,
    SPLITS,
    TAG,
    instances_schema,
    read_tags,
    sql_literal,
    table_name,
)
from tilebank.terms import FailureRow

AT_ONCE = 500  # ids in one filter


class Store:
    """All tables under one root URI (local path or `s3://`, credentials from the environment)."""

    def __init__(self, uri: str) -> None:
        self.uri = uri

    def assert_writable(self) -> None:
        """Raise StoreError when nothing can be written here, before any work is done."""
        try:
            write_bytes(join_uri(self.uri, ".tilebank"), b"The root of a Tilebank store.\n")
        except OSError as error:
            reason = storage_reason(error, self.uri)
            raise StoreError(
                f"cannot write to the store {self.uri}: {reason}; choose another with --store URI"
            ) from error

    def open_instances(
        self, dataset: str, encoder: str, *, dim: int, licence: Mapping[str, str], guard: Guard = unguarded
    ) -> "Instances":
        """The instances of one dataset and encoder, with their failures; both tables made when they are missing.

        guard: called before each attempt at a commit (`Lease.assert_held`); raises if another process may write by now.
        Raises StoreError when the table holds vectors of another dimension.
        """
        instances = self._table(table_name("instances", dataset, encoder), instances_schema(dim), licence)
        held = instances.schema.field("vector").type.list_size
        if held != dim:
            raise StoreError(
                f"table {instances.uri} holds vectors of {held} values, the encoder {encoder!r} gives {dim};"
                " use another store, or another name for the encoder"
            )
        return Instances(instances, self._table(table_name("failures", dataset, encoder), FAILURES, licence), guard)

    def find_instances(self, dataset: str, encoder: str) -> "Instances | None":
        """The instances if both tables exist, else None; writes nothing."""
        instances, failures = (self._standing(table_name(one, dataset, encoder)) for one in ("instances", "failures"))
        return None if instances is None or failures is None else Instances(instances, failures)

    def read_licence(self, dataset: str, encoder: str) -> dict[str, str]:
        """The licence tag of the instances of one dataset and encoder; empty if there are none."""
        table = self._standing(table_name("instances", dataset, encoder))
        return {} if table is None else read_tags(table.schema)

    def write_labels(self, dataset: str, rows: Sequence[Mapping[str, object]], *, licence: Mapping[str, str]) -> None:
        """Replace the labels of the tasks that `rows` are about; other tasks stay."""
        self._replace(table_name("labels", dataset), LABELS, rows, keys=("task",), licence=licence)

    def write_splits(self, dataset: str, rows: Sequence[Mapping[str, object]], *, licence: Mapping[str, str]) -> None:
        """Replace the splits of the task and scheme that `rows` are about; others stay."""
        self._replace(table_name("splits", dataset), SPLITS, rows, keys=("task", "scheme"), licence=licence)

    def read_splits(self, dataset: str, *, task: str, scheme: str) -> dict[str, str]:
        """patient_id -> split as written for this task and scheme; empty where there is none. Writes nothing."""
        name = table_name("splits", dataset)
        table = self._standing(name)
        if table is None:
            return {}
        if "scheme" not in table.schema.names:
            raise StoreError(f"{table.uri} comes from an earlier version; delete it, and splits are planned again")
        clause = f"task = {sql_literal(task)} AND scheme = {sql_literal(scheme)}"
        try:
            rows = table.to_table(columns=["patient_id", "split"], filter=clause).to_pylist()
        except (OSError, ValueError) as error:
            raise StoreError(f"cannot read table {name} in {self.uri}: {storage_reason(error, self.uri)}") from error
        splits = {row["patient_id"]: row["split"] for row in rows}
        if len(splits) < len(rows):
            raise StoreError(
                f"table {name} in {self.uri} gives a patient two splits of {task} ({scheme}); delete it, and splits are"
                " planned again"
            )
        return splits

    def write_imports(
        self, dataset: str, encoder: str, rows: Sequence[Mapping[str, object]], *, licence: Mapping[str, str]
    ) -> None:
        """Store the declared provenance of imported vectors; that of other fingerprints stays."""
        self._replace(table_name("imports", dataset, encoder), IMPORTS, rows, keys=("fingerprint",), licence=licence)

    def read_imports(self, dataset: str, encoder: str) -> list[dict[str, str]]:
        """The rows of `write_imports`, by fingerprint; none where nothing was imported. Writes nothing."""
        name = table_name("imports", dataset, encoder)
        try:
            table = self._standing(name)
            rows: list[dict[str, str]] = [] if table is None else table.to_table().to_pylist()
        except (OSError, ValueError) as error:
            raise StoreError(f"cannot read table {name} in {self.uri}: {storage_reason(error, self.uri)}") from error
        return sorted(rows, key=lambda row: row["fingerprint"])

    def write_predictions(
        self, dataset: str, encoder: str, rows: Sequence[Mapping[str, object]], *, licence: Mapping[str, str]
    ) -> None:
        """Replace the predictions of the run that `rows` come from; other runs stay."""
        self._replace(table_name("predictions", dataset, encoder), PREDICTIONS, rows, keys=("run_id",), licence=licence)

    def _replace(
        self,
        name: str,
        schema: pa.Schema,
        rows: Sequence[Mapping[str, object]],
        *,
        keys: Sequence[str],
        licence: Mapping[str, str],
    ) -> None:
        """One commit: rows that share `keys` with the new ones go, the new ones come. None when nothing changes."""
        table = self._table(name, schema, licence)
        old = table.to_table().to_pylist()
        replaced = {tuple(row[key] for key in keys) for row in rows}
        same = [row for row in old if tuple(row[key] for key in keys) in replaced]
        fresh = pa.Table.from_pylist([dict(row) for row in rows], schema=schema)
        if _as_set(same) == _as_set(fresh.to_pylist()):
            return
        kept = [row for row in old if tuple(row[key] for key in keys) not in replaced]
        whole = pa.concat_tables([pa.Table.from_pylist(kept, schema=schema), fresh])
        whole = whole.replace_schema_metadata(_metadata(licence))
        options = storage_options_of(self.uri)
        retry(
            lambda: lance.write_dataset(whole, table.uri, mode="overwrite", storage_options=options),
            table.uri,
            what="replace rows",
        )

    def _standing(self, name: str) -> lance.LanceDataset | None:
        """The table, or None if it does not exist."""
        place = join_uri(self.uri, f"{name}.lance")
        try:
            return open_table(place) if exists(place) else None
        except (OSError, ValueError) as error:
            raise StoreError(f"cannot open table {name} in {self.uri}: {storage_reason(error, self.uri)}") from error

    def _table(self, name: str, schema: pa.Schema, licence: Mapping[str, str]) -> lance.LanceDataset:
        """The table; a missing one is made through LanceDB, so that any LanceDB client finds it."""
        place = join_uri(self.uri, f"{name}.lance")

        def create() -> None:
            import lancedb  # takes a second or more; most commands find their tables

            database = lancedb.connect(self.uri, storage_options=storage_options_of(self.uri))
            try:
                database.create_table(name, schema=schema.with_metadata(_metadata(licence)), exist_ok=True)
            except (RuntimeError, ValueError) as error:  # LanceDB's names for a failed request
                raise OSError(str(error)) from error

        try:
            if not exists(place):
                retry(create, self.uri, what=f"create table {name}")
            return open_table(place)
        except (OSError, ValueError) as error:
            raise StoreError(f"cannot open table {name} in {self.uri}: {storage_reason(error, self.uri)}") from error


class Instances:
    """The instances table of one dataset and encoder, and its failures."""

    def __init__(self, instances: lance.LanceDataset, failures: lance.LanceDataset, guard: Guard = unguarded) -> None:
        self._instances = instances
        self._failures = failures
        self._guard = guard
        self.uri = str(instances.uri)

    @property
    def version(self) -> int:
        """The version of the instances table after the last commit seen here."""
        return int(self._instances.version)

    def done_images(self, fingerprint: str) -> set[str]:
        """Ids of the images with a view row under this fingerprint, which are stored completely."""
        clause = f"fingerprint = {sql_literal(fingerprint)} AND kind = 'view'"
        return {row["image_id"] for row in self._read(self._instances, ["image_id"], clause)}

    def stored_images(self, fingerprint: str) -> set[str]:
        """Ids of all images with a row under this fingerprint: with or without a view, they are stored whole."""
        scanner = self._instances.scanner(columns=["image_id"], filter=f"fingerprint = {sql_literal(fingerprint)}")

        def read() -> set[str]:
            return {one for batch in scanner.to_batches() for one in pc.unique(batch["image_id"]).to_pylist()}

        return retry(read, self.uri, what="read rows")

    def failed_images(self, fingerprint: str) -> dict[str, str]:
        """image_id -> `stage/error_class` of the images that failed under this fingerprint."""
        clause = f"fingerprint = {sql_literal(fingerprint)}"
        rows = self._read(self._failures, ["image_id", "stage", "error_class"], clause)
        return {row["image_id"]: f"{row['stage']}/{row['error_class']}" for row in rows}

    def read_failures(self, fingerprint: str) -> list[FailureRow]:
        """Every failure under this fingerprint, by image id."""
        names = [field.name for field in fields(FailureRow)]
        rows = self._read(self._failures, names, f"fingerprint = {sql_literal(fingerprint)}")
        return sorted((FailureRow(**row) for row in rows), key=lambda row: row.image_id)

    def count_instances(self, fingerprint: str) -> dict[str, int]:
        """Rows by kind under this fingerprint."""
        clause = f"fingerprint = {sql_literal(fingerprint)} AND kind = "
        counts = {kind: partial(self._instances.count_rows, clause + sql_literal(kind)) for kind in ("view", "tile")}
        return {kind: int(retry(count, self.uri, what="count rows")) for kind, count in counts.items()}

    def commit(self, rows: pa.Table, *, chunk: str | None = None) -> None:
        """Add all rows of some images exactly once, in one transaction under an id of its own. Raises StoreError."""
        try:
            rows = rows.cast(self._instances.schema.remove_metadata())
        except (ValueError, KeyError) as error:
            raise StoreError(f"rows do not fit {self.uri}: {error}; it was made by another version") from error
        self._instances = append_once(self._instances, rows, chunk=chunk or uuid.uuid4().hex, guard=self._guard)

    def commit_failures(self, rows: Sequence[Mapping[str, str]]) -> None:
        """Record failures; an equal one is kept, another one of the same image and fingerprint is replaced."""
        fresh = {(row["image_id"], row["fingerprint"]): dict(row) for row in rows}
        replaced: dict[str, list[str]] = {}
        for standing in self._standing_failures(fresh):
            key = (standing["image_id"], standing["fingerprint"])
            if fresh.get(key) == standing:
                del fresh[key]
            elif key in fresh:
                replaced.setdefault(standing["fingerprint"], []).append(standing["image_id"])
        for fingerprint, image_ids in replaced.items():
            self.forget_failures(image_ids, fingerprint=fingerprint)
        if fresh:
            table = pa.Table.from_pylist(list(fresh.values()), schema=FAILURES)
            self._failures = append_once(self._failures, table, chunk=uuid.uuid4().hex, guard=self._guard)

    def forget_failures(self, image_ids: Collection[str], *, fingerprint: str) -> None:
        """Drop the failures of images that are stored by now, or are to be tried again."""
        for among in _in_filters(image_ids):
            clause = f"fingerprint = {sql_literal(fingerprint)} AND image_id IN ({among})"
            retry(partial(self._failures.delete, clause), self._failures.uri, what="drop failures", guard=self._guard)

    def index(self) -> None:
        """Bring the scalar indices on breast, exam and image up to date."""
        build_indices(self._instances, guard=self._guard)

    def _standing_failures(self, keys: Collection[tuple[str, str]]) -> list[dict[str, str]]:
        """Recorded failures of these images, under any fingerprint."""
        parts = _in_filters({image_id for image_id, _ in keys})
        return [row for among in parts for row in self._read(self._failures, None, f"image_id IN ({among})")]

    def _read(self, table: lance.LanceDataset, columns: list[str] | None, clause: str) -> list[dict[str, str]]:
        read = partial(table.to_table, columns=columns, filter=clause)
        rows: list[dict[str, str]] = retry(read, str(table.uri), what="read rows").to_pylist()
        return rows


def _in_filters(ids: Collection[str]) -> Iterator[str]:
    """The ids as the insides of IN (...), so many at once that a filter stays quick."""
    literals = [sql_literal(one) for one in sorted(ids)]
    return (", ".join(literals[start : start + AT_ONCE]) for start in range(0, len(literals), AT_ONCE))


def _metadata(licence: Mapping[str, str]) -> dict[str, str]:
    return {f"{TAG}{key}": value for key, value in licence.items()}


def _as_set(rows: Sequence[Mapping[str, object]]) -> set[tuple[object, ...]]:
    return {tuple(repr(row[key]) for key in sorted(row)) for row in rows}  # a list has no hash
