"""Write the store's tables: commits, failures, labels, indices. One writer a table is assumed.

A stored view row is an image's completion marker, so all rows of an image go into one commit (one Lance transaction,
which either becomes the next version whole or leaves nothing).
"""

import uuid
from collections.abc import Collection, Mapping, Sequence

import lance
import lancedb
import pyarrow as pa

from tilebank.errors import StoreError
from tilebank.files import exists, join_uri, write_bytes
from tilebank.store.schema import FAILURES, INSTANCE_INDICES, LABELS, PREDICTIONS, SPLITS, instances_schema, table_name

CHUNK = "tilebank.chunk"  # transaction property: which chunk a commit holds


class Store:
    """All tables under one root URI (local path or `s3://`, credentials from the environment)."""

    def __init__(self, uri: str) -> None:
        self.uri = uri

    def assert_writable(self) -> None:
        """Raise StoreError when nothing can be written here, before any work is done."""
        try:
            write_bytes(join_uri(self.uri, ".tilebank"), b"The root of a Tilebank store.\n")
        except OSError as error:
            raise StoreError(
                f"cannot write to the store {self.uri}: {error}; choose another with --store URI"
            ) from error

    def open_instances(self, dataset: str, encoder: str, *, dim: int, licence: Mapping[str, str]) -> "Instances":
        """The instances of one dataset and encoder, with their failures; both tables made when they are missing.

        Raises StoreError when the table holds vectors of another dimension.
        """
        instances = self._table(table_name("instances", dataset, encoder), instances_schema(dim), licence)
        held = instances.schema.field("vector").type.list_size
        if held != dim:
            raise StoreError(
                f"table {instances.uri} holds vectors of {held} values, the encoder {encoder!r} gives {dim}"
            )
        return Instances(instances, self._table(table_name("failures", dataset, encoder), FAILURES, licence))

    def find_instances(self, dataset: str, encoder: str) -> "Instances | None":
        """The same where they are already there; writes nothing."""
        names = (table_name("instances", dataset, encoder), table_name("failures", dataset, encoder))
        places = [join_uri(self.uri, f"{name}.lance") for name in names]
        try:
            return Instances(*map(lance.dataset, places)) if all(map(exists, places)) else None
        except (OSError, ValueError) as error:
            raise StoreError(f"cannot open table {names[0]} in {self.uri}: {error}") from error

    def write_labels(self, dataset: str, rows: Sequence[Mapping[str, object]], *, licence: Mapping[str, str]) -> None:
        """Replace the labels of the tasks that `rows` are about; other tasks stay."""
        self._replace(table_name("labels", dataset), LABELS, rows, keys=("task",), licence=licence)

    def write_splits(self, dataset: str, rows: Sequence[Mapping[str, object]], *, licence: Mapping[str, str]) -> None:
        """Replace the splits of the task and seed that `rows` are about; others stay."""
        self._replace(table_name("splits", dataset), SPLITS, rows, keys=("task", "seed"), licence=licence)

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
        lance.write_dataset(whole.replace_schema_metadata(_metadata(licence)), table.uri, mode="overwrite")

    def _table(self, name: str, schema: pa.Schema, licence: Mapping[str, str]) -> lance.LanceDataset:
        """The table; a missing one is made through LanceDB, so that any LanceDB client finds it."""
        place = join_uri(self.uri, f"{name}.lance")
        try:
            if not exists(place):
                lancedb.connect(self.uri).create_table(name, schema=schema.with_metadata(_metadata(licence)))
            return lance.dataset(place)
        except (OSError, ValueError, RuntimeError) as error:
            raise StoreError(f"cannot open table {name} in {self.uri}: {error}") from error


class Instances:
    """The instances table of one dataset and encoder, and its failures."""

    def __init__(self, instances: lance.LanceDataset, failures: lance.LanceDataset) -> None:
        self._instances = instances
        self._failures = failures
        self.uri = str(instances.uri)

    @property
    def version(self) -> int:
        """The version of the instances table after the last commit seen here."""
        return int(self._instances.version)

    def done_images(self, fingerprint: str) -> set[str]:
        """Ids of the images whose view row stands under this fingerprint: those that are stored whole."""
        clause = f"fingerprint = {_quoted(fingerprint)} AND kind = 'view'"
        return set(self._instances.to_table(columns=["image_id"], filter=clause)["image_id"].to_pylist())

    def failed_images(self, fingerprint: str) -> dict[str, str]:
        """image_id -> `stage/error_class` of the images that failed under this fingerprint."""
        clause = f"fingerprint = {_quoted(fingerprint)}"
        rows = self._failures.to_table(columns=["image_id", "stage", "error_class"], filter=clause).to_pylist()
        return {row["image_id"]: f"{row['stage']}/{row['error_class']}" for row in rows}

    def count_instances(self, fingerprint: str) -> dict[str, int]:
        """Rows by kind under this fingerprint."""
        clause = f"fingerprint = {_quoted(fingerprint)} AND kind = "
        return {kind: self._instances.count_rows(clause + _quoted(kind)) for kind in ("view", "tile")}

    def commit(self, rows: pa.Table) -> None:
        """Add all rows of some images, in one transaction that carries an id of its own. Raises StoreError.

        After an error it is not known whether the commit was taken (a connection may break on the answer): the next
        run looks at what is stored, so nothing is ever sent twice from here.
        """
        try:
            self._instances = lance.write_dataset(
                rows.cast(self._instances.schema.remove_metadata()),
                self._instances,
                mode="append",
                transaction_properties={CHUNK: uuid.uuid4().hex},
            )
        except (OSError, ValueError) as error:
            raise StoreError(f"cannot commit to {self.uri}: {error}; run the same command again to go on") from error

    def commit_failures(self, rows: Sequence[Mapping[str, str]]) -> None:
        """Record failures; a row of the same image and fingerprint is replaced, so that a repeat adds nothing."""
        if rows:
            table = pa.Table.from_pylist([dict(row) for row in rows], schema=FAILURES)
            merge = self._failures.merge_insert(["image_id", "fingerprint"])
            merge.when_matched_update_all().when_not_matched_insert_all().execute(table)

    def forget_failures(self, image_ids: Collection[str], *, fingerprint: str) -> None:
        """Drop the failures of images that are stored by now, or are to be tried again."""
        if image_ids:
            among = ", ".join(_quoted(image_id) for image_id in sorted(image_ids))
            self._failures.delete(f"fingerprint = {_quoted(fingerprint)} AND image_id IN ({among})")

    def index(self) -> None:
        """Bring the scalar indices on breast, exam and image up to date."""
        for column in INSTANCE_INDICES:
            self._instances.create_scalar_index(column, "BTREE", replace=True)


def _metadata(licence: Mapping[str, str]) -> dict[str, str]:
    return {f"tilebank.{key}": value for key, value in licence.items()}


def _as_set(rows: Sequence[Mapping[str, object]]) -> set[tuple[object, ...]]:
    return {tuple(row[key] for key in sorted(row)) for row in rows}


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
