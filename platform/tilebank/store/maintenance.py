"""Maintain large tables: compact, index, drop a fingerprint, clean up. Each under the table's lease.

Every action can be planned: it returns the same figures, does nothing and takes no lease. The instances and the
failures of one dataset and encoder are maintained together; the lease is that of the instances.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import lance
from lance.optimize import Compaction

from tilebank.errors import StoreError
from tilebank.files import join_uri
from tilebank.storage_errors import is_failed_request, storage_reason
from tilebank.store.commits import Guard, open_table, retry, unguarded
from tilebank.store.indices import build_indices, rows_without_index
from tilebank.store.inventory import extracted_in
from tilebank.store.lease.lease import hold_lease
from tilebank.store.schema import sql_literal, table_name

TARGET_ROWS = 1 << 18  # of a compacted fragment
KEPT_FOR = timedelta(days=14)  # an old version, so that what was searched last week can still be read as it was
LISTED = 1_000_000  # files that a plan to clean looks at

Figures = dict[str, int | str]


@dataclass(frozen=True)
class Upkeep:
    """What was done to one table, or would be done: figures by name."""

    table: str
    done: bool
    figures: Figures


@dataclass(frozen=True)
class Target:
    """The tables that an action is about. plan: look only."""

    store_uri: str
    dataset: str
    encoder: str
    plan: bool = False


def compact_tables(target: Target, *, target_rows: int = TARGET_ROWS) -> list[Upkeep]:
    """Put many small fragments into few; old ones stay on disk until `clean_tables`. Raises StoreError."""
    return _each(target, partial(_compact, target_rows=target_rows))


def index_tables(target: Target) -> list[Upkeep]:
    """Rebuild the scalar indices of the instances. Raises StoreError."""
    return _each(target, _index)[:1]


def drop_fingerprint(target: Target, fingerprint: str) -> list[Upkeep]:
    """Delete the instances and the failures under one fingerprint. Raises StoreError if there are none."""
    return _each(target, partial(_drop, fingerprint=fingerprint))


def clean_tables(target: Target, *, older_than: timedelta = KEPT_FOR) -> list[Upkeep]:
    """Remove versions older than this, and files that no version names. Raises StoreError.

    A file that no version names may belong to an unfinished write of a client that takes no lease: if one is younger
    than `older_than`, none of them is removed.
    """
    return _each(target, partial(_clean, older_than=older_than))


def _each(target: Target, action: Callable[..., Figures]) -> list[Upkeep]:
    names = [table_name(table, target.dataset, target.encoder) for table in ("instances", "failures")]
    with _guarded(target, names[0]) as guard:
        tables = [_open(target.store_uri, name) for name in names]
        figures = [action(table, plan=target.plan, guard=guard) for table in tables]
    return [Upkeep(name, not target.plan, of) for name, of in zip(names, figures, strict=True)]


@contextmanager
def _guarded(target: Target, name: str) -> Iterator[Guard]:
    with nullcontext() if target.plan else hold_lease(target.store_uri, name) as lease:
        yield lease.assert_held if lease else unguarded


def _open(store_uri: str, name: str) -> lance.LanceDataset:
    try:
        return open_table(join_uri(store_uri, f"{name}.lance"))
    except (OSError, ValueError) as error:
        if is_failed_request(error, store_uri):
            raise StoreError(f"cannot open table {name} in {store_uri}: {storage_reason(error, store_uri)}") from error
        raise StoreError(f"{store_uri} has no table {name}; list them with: tilebank store list") from error


def _compact(table: lance.LanceDataset, *, target_rows: int, plan: bool, guard: Guard) -> Figures:
    before = len(table.get_fragments())
    if plan:
        tasks = Compaction.plan(table, {"target_rows_per_fragment": target_rows}).num_tasks()
        return {"rows": table.count_rows(), "fragments": before, "groups to be put together": tasks}
    # Lance reads a group of fragments at a time; small batches keep a table of wide vectors within memory.
    work = partial(table.optimize.compact_files, target_rows_per_fragment=target_rows, batch_size=4096, num_threads=2)
    retry(work, str(table.uri), what="compact", guard=guard)
    return {"rows": table.count_rows(), "fragments before": before, "fragments": len(table.get_fragments())}


def _index(table: lance.LanceDataset, *, plan: bool, guard: Guard) -> Figures:
    if "breast_id" not in table.schema.names:
        return {}
    missing = rows_without_index(table)
    if not plan:
        build_indices(table, guard=guard)
    return {"rows": table.count_rows(), "rows not indexed before": missing}


def _drop(table: lance.LanceDataset, *, fingerprint: str, plan: bool, guard: Guard) -> Figures:
    clause = f"fingerprint = {sql_literal(fingerprint)}"
    extracted = extracted_in(table)
    going = [one for one in extracted if one.fingerprint == fingerprint]
    if "kind" in table.schema.names and not going:
        held = ", ".join(one.fingerprint for one in extracted) or "nothing"
        raise StoreError(f"{table.uri} holds nothing under the fingerprint {fingerprint}; it holds {held}")
    figures: Figures = {"rows that go": table.count_rows(clause), "rows that stay": table.count_rows(f"NOT ({clause})")}
    if going:
        figures |= {"images that go": going[0].images, "tiles that go": going[0].tiles}
    if not plan:
        retry(partial(table.delete, clause), str(table.uri), what="drop rows", guard=guard)
    return figures


def _clean(table: lance.LanceDataset, *, older_than: timedelta, plan: bool, guard: Guard) -> Figures:
    options: dict[str, Any] = {"older_than": older_than, "error_if_tagged_old_versions": False}
    look = partial(table.explain_cleanup_old_versions, **options, include_files=True, max_files=LISTED)
    certain, all_of_them = (
        {_within(table, file.path) for file in look(delete_unverified=also).candidate_files} for also in (False, True)
    )
    orphans = all_of_them - certain  # no version names them, and they are too young for Lance to be sure of them
    youngest_s = _youngest_s(table, orphans)
    settled = youngest_s >= older_than.total_seconds()
    if plan:
        stats = look(delete_unverified=settled).stats
    else:
        guard()
        clean = partial(table.cleanup_old_versions, **options, delete_unverified=settled)
        stats = retry(clean, str(table.uri), what="clean", guard=guard)
    figures: Figures = {"old versions": stats.old_versions, "bytes": stats.bytes_removed}
    figures["files of unfinished writes"] = len(orphans)
    if orphans and not settled:
        figures["left alone"] = f"files of unfinished writes: the youngest is {youngest_s / 3600:.1f} h old"
    return figures


def _within(table: lance.LanceDataset, path: str) -> str:
    """A file's path below its table's folder."""
    return path.rpartition(str(table.uri).rpartition("/")[2] + "/")[2]


def _youngest_s(table: lance.LanceDataset, paths: set[str]) -> float:
    """The age of the youngest of these files; endless where there is none."""
    if not paths:
        return float("inf")
    files = table.all_files().read_all()
    ages = [
        (datetime.now(UTC) - written).total_seconds()
        for path, written in zip(files["path"].to_pylist(), files["last_modified"].to_pylist(), strict=True)
        if path in paths
    ]
    return max(0.0, min(ages, default=0.0))
