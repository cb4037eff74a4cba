"""Extraction: every image of a dataset becomes vectors in the store, once.

Plan first (what the manifest holds, what is stored, what failed), then stream: read and tile in tasks, encode in a pool
of actors, commit from here as it goes. A stored view row is the completion marker, so the same command after any
interruption does what is missing and nothing else.
"""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
from tqdm import tqdm

from tilebank.flows.settings import Settings
from tilebank.flows.stages import FAILURE_COLUMNS, instance_rows
from tilebank.flows.stream import encode_images, read_manifest
from tilebank.store.tables import Instances, Store
from tilebank.terms import FailureRow, ManifestRow


@dataclass(frozen=True)
class ExtractionPlan:
    """What is there and what is to be done, by image."""

    dataset: str
    encoder: str
    fingerprint: str
    table: str
    images: int
    done: int
    failed_before: int
    pending: tuple[ManifestRow, ...]
    unplaced: tuple[FailureRow, ...]

    @property
    def failed(self) -> bool:
        """A look cannot fail."""
        return False

    def as_dict(self) -> dict[str, object]:
        """JSON values; rows as counts."""
        return asdict(self) | {"pending": len(self.pending), "unplaced": len(self.unplaced)}

    def as_text(self) -> str:
        """Counts by state."""
        rows = [
            ("dataset / encoder", f"{self.dataset} / {self.encoder}"),
            ("fingerprint", self.fingerprint),
            ("table", self.table),
            ("images", str(self.images)),
            ("  done", str(self.done)),
            (
                "  failed before",
                f"{self.failed_before}" + (" (--retry-failed tries them again)" if self.failed_before else ""),
            ),
            ("  new", str(len(self.pending))),
            ("files that cannot be placed", str(len(self.unplaced))),
        ]
        return _aligned(rows)


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
        """Whether there was something to do and nothing came of it."""
        return bool(self.plan.pending or self.plan.unplaced) and not self.images and not self.plan.done

    @property
    def images_per_s(self) -> float:
        """Images stored in a second of the whole run, start-up included."""
        return self.images / self.wall_s if self.wall_s else 0.0

    def as_text(self) -> str:
        """What was done, for people."""
        rows = [("images stored", f"{self.images} ({self.views} views, {self.tiles} tiles)")]
        where = [("table", f"{self.plan.table}, version {self.version}"), ("fingerprint", self.plan.fingerprint)]
        if not self.plan.pending and not self.failures:
            done = f"all {self.plan.images} images are stored or recorded as failures"
            return _aligned([("nothing to do", done), *where])
        rows += [(f"  failed, {reason}", str(count)) for reason, count in sorted(self.failures.items())]
        rows += [
            ("time", f"{self.wall_s:.1f} s, {self.images_per_s:.2f} images/s"),
            ("vectors written", f"{self.bytes_written / 1e6:.2f} MB"),
        ]
        return _aligned([*rows, *where])


def plan_extraction(settings: Settings, *, limit: int | None = None, retry_failed: bool = False) -> ExtractionPlan:
    """What an extraction would do. Reads the manifest and the store, writes nothing.

    limit: take no more than this many pending images, in manifest order. retry_failed: failed images are pending too.
    """
    table = Store(settings.store).find_instances(settings.dataset.name, settings.encoder.name)
    return _plan(settings, table, limit=limit, retry_failed=retry_failed)


def extract(settings: Settings, *, limit: int | None = None, retry_failed: bool = False) -> ExtractionSummary:
    """Encode and store what is missing. Raises TilebankError before any work when something is wrong with the whole."""
    began = time.perf_counter()
    table = _open_table(settings)
    plan = _plan(settings, table, limit=limit, retry_failed=retry_failed)
    table.commit_failures([_failure(row, plan.fingerprint) for row in plan.unplaced])
    tally: Counter[str] = Counter()
    failures = Counter(f"{row.stage}: {row.reason}" for row in plan.unplaced)
    if plan.pending:
        with tqdm(total=len(plan.pending), unit="image", desc="extract", dynamic_ncols=True) as bar:
            for rows in _in_commits(encode_images(settings, plan.pending), size=settings.extraction.commit_images):
                tally += _commit(
                    table, rows, dim=settings.encoder.dim, fingerprint=plan.fingerprint, retried=retry_failed
                )
                failures += Counter(
                    f"{row['failed_stage']}: {row['failed_reason']}" for row in rows if row["failed_stage"]
                )
                bar.update(len(rows))
                bar.set_postfix(tiles=tally["tiles"], failed=failures.total())
        if tally["views"]:
            table.index()
    return ExtractionSummary(
        plan=plan,
        images=tally["views"],
        views=tally["views"],
        tiles=tally["tiles"],
        failures=dict(failures),
        wall_s=time.perf_counter() - began,
        bytes_written=(tally["views"] + tally["tiles"]) * settings.encoder.dim * 2,
        version=table.version,
    )


def _open_table(settings: Settings) -> Instances:
    store = Store(settings.store)
    store.assert_writable()
    dataset, encoder = settings.dataset.name, settings.encoder
    return store.open_instances(dataset, encoder.name, dim=encoder.dim, licence=settings.licence)


def _plan(settings: Settings, table: Instances | None, *, limit: int | None, retry_failed: bool) -> ExtractionPlan:
    manifest = read_manifest(settings)
    fingerprint = settings.fingerprint
    done = table.done_images(fingerprint) if table else set()
    failed = set(table.failed_images(fingerprint)) - done if table else set()
    known = done if retry_failed else done | failed
    pending = [row for row in manifest.images if row.image_id not in known]
    ids = {row.image_id for row in manifest.images}
    return ExtractionPlan(
        dataset=settings.dataset.name,
        encoder=settings.encoder.name,
        fingerprint=fingerprint,
        table=table.uri if table else "none yet",
        images=len(ids),
        done=len(done & ids),
        failed_before=len(failed & ids),
        pending=tuple(pending[:limit]),
        unplaced=tuple(row for row in manifest.failures if retry_failed or row.image_id not in failed),
    )


def _in_commits(rows: Iterable[dict[str, Any]], *, size: int) -> Iterator[list[dict[str, Any]]]:
    """Rows in lists of `size`; an image that a restarted worker sends again is passed on once."""
    seen: set[str] = set()
    chunk = []
    for row in rows:
        if row["image_id"] in seen:
            continue
        seen.add(row["image_id"])
        chunk.append(row)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _commit(
    table: Instances, rows: Sequence[dict[str, Any]], *, dim: int, fingerprint: str, retried: bool
) -> Counter[str]:
    """Store what came out whole, record what failed; count views and tiles. Only a retry has failures to forget."""
    whole = [row for row in rows if not row["failed_stage"]]
    if whole:
        pieces = [instance_rows(row, dim=dim, fingerprint=fingerprint) for row in whole]
        table.commit(pa.concat_tables(pieces))
        if retried:
            table.forget_failures([row["image_id"] for row in whole], fingerprint=fingerprint)
    failed = [row for row in rows if row["failed_stage"]]
    reasons = [FailureRow(row["image_id"], row["uri"], *(row[name] for name in FAILURE_COLUMNS)) for row in failed]
    table.commit_failures([_failure(row, fingerprint) for row in reasons])
    instances = sum(piece.num_rows for piece in pieces) if whole else 0
    return Counter(views=len(whole), tiles=instances - len(whole))


def _failure(row: FailureRow, fingerprint: str) -> dict[str, str]:
    return asdict(row) | {"fingerprint": fingerprint}


def _aligned(rows: Sequence[tuple[str, str]]) -> str:
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)
