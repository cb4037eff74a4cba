"""Extract: encode every image of a dataset once and keep the vectors in the store.

Plan first (what the manifest holds, what is stored, what failed), then stream: read and tile in tasks, encode in a pool
of actors, commit from here as it goes. A stored view row is the completion marker, so after any interruption the same
command does what is missing.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from tilebank.datasets.contract import Manifest
from tilebank.flows.engine.pipelines import encode_images, read_manifest
from tilebank.flows.engine.stages import FAILURE_COLUMNS, instance_rows
from tilebank.flows.extract.plan import FILTER, ExtractionPlan, plan_of
from tilebank.flows.reporting.job import aligned
from tilebank.flows.reporting.progress import progress_bar
from tilebank.flows.settings.settings import Settings
from tilebank.store.lease.lease import hold_lease
from tilebank.store.schema import table_name
from tilebank.store.tables import Instances, Store
from tilebank.terms import FailureRow


@dataclass(frozen=True)
class ExtractionSummary:
    """What one run did. `failures` counts this run's by `stage: reason`; bytes are those of the vectors written."""

    plan: ExtractionPlan
    images: int
    views: int
    tiles: int
    failures: dict[str, int]
    wall_s: float
    bytes_written: int
    version: int

    def as_dict(self) -> dict[str, object]:
        """JSON values."""
        return asdict(self) | {"plan": self.plan.as_dict(), "images_per_s": self.images_per_s}

    @property
    def failed(self) -> bool:
        """Whether there were images to do and none was stored."""
        return bool(self.plan.pending or self.plan.refused) and not self.images and not self.plan.done

    @property
    def images_per_s(self) -> float:
        """Images stored in a second of the whole run, start-up included."""
        return self.images / self.wall_s if self.wall_s else 0.0

    def as_text(self) -> str:
        """What was done, for people."""
        rows = [("images stored", f"{self.images} ({self.views} views, {self.tiles} tiles)")]
        where = [("table", f"{self.plan.table}, version {self.version}"), ("fingerprint", self.plan.fingerprint)]
        if not self.plan.pending and not self.failures:
            failed = self.plan.failed_before
            again = f", {failed} recorded as failures (--retry-failed tries them again)" if failed else ""
            return aligned(
                [("nothing to do", f"{self.plan.done} of {self.plan.images} images are stored{again}"), *where]
            )
        kinds = {True: "not asked for", False: "failed"}
        rows += [
            (f"  {kinds[reason.startswith(FILTER)]}, {reason.removeprefix(f'{FILTER}: ')}", str(count))
            for reason, count in sorted(self.failures.items())
        ]
        if self.failures:
            rows.append(("  file by file", "see the table failures--... in the store, or run tilebank validate"))
        rows += [
            ("time", f"{self.wall_s:.1f} s, {self.images_per_s:.2f} images/s"),
            ("vectors written", f"{self.bytes_written / 1e6:.2f} MB"),
        ]
        return aligned([*rows, *where])


def extract(
    settings: Settings, *, limit: int | None = None, retry_failed: bool = False, manifest: Manifest | None = None
) -> ExtractionSummary:
    """Encode and store what is missing, under the table's lease.

    manifest: the dataset's, or a part of it, where the caller has read it; it is read here without one. Raises
    TilebankError before any work when something is wrong with the whole, or another extraction holds the table.
    """
    began = time.perf_counter()
    store, dataset, encoder = Store(settings.store), settings.dataset.name, settings.encoder
    if settings.dataset.made_elsewhere:
        read_manifest(settings)  # which says that there is nothing to encode, before a table is made
    store.assert_writable()
    with hold_lease(settings.store, table_name("instances", dataset, encoder.name)) as lease:
        table = store.open_instances(
            dataset, encoder.name, dim=encoder.dim, licence=settings.licence, guard=lease.assert_held
        )
        plan = plan_of(
            settings, table, manifest=manifest or read_manifest(settings), limit=limit, retry_failed=retry_failed
        )
        tally, failures = _encode_and_commit(settings, table, plan)
    return ExtractionSummary(
        plan=plan,
        images=tally["views"],
        views=tally["views"],
        tiles=tally["tiles"],
        failures=dict(failures),
        wall_s=time.perf_counter() - began,
        bytes_written=(tally["views"] + tally["tiles"]) * encoder.dim * 2,
        version=table.version,
    )


def _encode_and_commit(settings: Settings, table: Instances, plan: ExtractionPlan) -> tuple[Counter[str], Counter[str]]:
    """Counts of views and tiles stored, and of failures by `stage: reason`."""
    unread = (*plan.refused, *plan.filtered)
    committer = _Committer(table, settings, plan)
    committer.record(unread)
    tally: Counter[str] = Counter()
    failures = Counter(f"{row.stage}: {row.reason}" for row in unread)
    if not plan.pending:
        return tally, failures
    with progress_bar("extract", unit="image", total=len(plan.pending)) as bar:
        encoded = _once(encode_images(settings, plan.pending), seen=bar.update)
        for rows in _in_commits(encoded, size=settings.extraction.commit_images):
            tally += committer.commit(rows)
            failures += Counter(f"{row['failed_stage']}: {row['failed_reason']}" for row in rows if row["failed_stage"])
            bar.set_postfix(tiles=tally["tiles"], failed=failures.total())
    if tally["views"]:
        table.index()
    return tally, failures


def _once(rows: Iterable[dict[str, Any]], *, seen: Callable[[], object]) -> Iterator[dict[str, Any]]:
    """The rows, each told to `seen`; an image that a restarted worker sends again is passed on once."""
    known: set[str] = set()
    for row in rows:
        if row["image_id"] not in known:
            known.add(row["image_id"])
            seen()
            yield row


def _in_commits(rows: Iterable[dict[str, Any]], *, size: int) -> Iterator[list[dict[str, Any]]]:
    """Rows in lists of `size`."""
    chunk = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


class _Committer:
    """Stores what came out whole and records what failed; one commit a chunk of images."""

    def __init__(self, table: Instances, settings: Settings, plan: ExtractionPlan) -> None:
        self._table = table
        self._dim = settings.encoder.dim
        self._keyed = settings.dataset.ids == "keyed-hash"
        self._plan = plan

    def commit(self, rows: Sequence[dict[str, Any]]) -> Counter[str]:
        """Store and record these images; count views and tiles. A success ends an old failure."""
        whole = [row for row in rows if not row["failed_stage"]]
        pieces = [instance_rows(row, dim=self._dim, fingerprint=self._plan.fingerprint) for row in whole]
        if whole:
            self._table.commit(pa.concat_tables(pieces))
        if mended := [row["image_id"] for row in whole if row["image_id"] in self._plan.failures_to_retry]:
            self._table.forget_failures(mended, fingerprint=self._plan.fingerprint)
        failed = [row for row in rows if row["failed_stage"]]
        self.record(FailureRow(row["image_id"], row["uri"], *(row[name] for name in FAILURE_COLUMNS)) for row in failed)
        return Counter(views=len(whole), tiles=sum(piece.num_rows for piece in pieces) - len(whole))

    def record(self, failures: Iterable[FailureRow]) -> None:
        """Write failures. Where ids are replaced by a hash no path is kept, since paths often hold ids."""
        common = {"fingerprint": self._plan.fingerprint} | ({"uri": ""} if self._keyed else {})
        self._table.commit_failures([asdict(row) | common for row in failures])
