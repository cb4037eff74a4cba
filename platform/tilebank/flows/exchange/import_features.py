"""Import features that were made elsewhere: headers first, then slide by slide, in commits of bounded size.

All tiles of a slide go into one commit, so a slide is done when any of its rows is stored; after an interruption the
same command does what is missing. A commit and one slide are in memory at a time.
"""

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import pyarrow as pa

from tilebank.datasets.features import Features
from tilebank.errors import ImageError
from tilebank.flows.exchange.import_plan import EMPTY, ImportPlan, assert_importable, failure_of, import_plan_of
from tilebank.flows.reporting.job import aligned
from tilebank.flows.reporting.progress import progress_bar
from tilebank.flows.settings.settings import Settings
from tilebank.store.exchange.layouts import LAYOUTS
from tilebank.store.exchange.provenance import Rounding
from tilebank.store.exchange.rows import slide_rows
from tilebank.store.exchange.slide_reader import read_slide
from tilebank.store.lease.lease import hold_lease
from tilebank.store.schema import table_name
from tilebank.store.tables import Instances, Store
from tilebank.terms import FailureRow

COMMIT_BYTES = 128 << 20  # of vectors that one commit holds, if it is not a single slide's


@dataclass(frozen=True)
class ImportSummary:
    """What one run did. failures: this run's by `class: reason`; incomplete: patients who lack a slide that failed."""

    plan: ImportPlan
    slides: int
    tiles: int
    failures: dict[str, int]
    incomplete: int
    rounding: Rounding
    bytes_read: int
    wall_s: float
    table: str
    version: int

    @property
    def failed(self) -> bool:
        """Whether there was something to do and nothing came of it."""
        return not self.slides and not self.plan.done

    def as_dict(self) -> dict[str, object]:
        """JSON values."""
        return vars(self) | {"plan": self.plan.as_dict(), "rounding": asdict(self.rounding)}

    def as_text(self) -> str:
        """What was done, for people."""
        rows = [*self.plan.as_rows(), ("slides stored", f"{self.slides} ({self.tiles} tiles)")]
        rows += [(f"  {_taken(reason)}, {reason}", str(n)) for reason, n in sorted(self.failures.items())]
        if self.incomplete:
            rows.append(
                ("  patients who lack a slide that failed", f"{self.incomplete}; their bags have the other slides")
            )
        if self.rounding.changed:
            share = self.rounding.changed / self.rounding.values
            lost = f"{share:.1%} of {self.rounding.values} values rounded, {self.rounding.vanished} became zero"
            rows.append(("to float16", lost))
        speed = self.bytes_read / 1e6 / self.wall_s if self.wall_s else 0.0
        rows.append(("time", f"{self.wall_s:.1f} s, {speed:.0f} MB/s of features read"))
        return aligned([*rows, ("table", f"{self.table}, version {self.version}")])


def import_features(settings: Settings, *, layout: str) -> ImportSummary:
    """Store what is missing of the features below the dataset's root, under the table's lease.

    Raises TilebankError before any work when something is wrong with the whole; a file that cannot be taken is a row
    in `failures`, and looked at again by the next run.
    """
    began = time.perf_counter()
    assert_importable(settings)
    store, dataset, encoder = Store(settings.store), settings.dataset.name, settings.encoder.name
    store.assert_writable()
    with hold_lease(settings.store, table_name("instances", dataset, encoder)) as lease:
        plan = import_plan_of(settings, store.find_instances(dataset, encoder), layout=layout)
        table = store.open_instances(dataset, encoder, dim=plan.dim, licence=settings.licence, guard=lease.assert_held)
        store.write_imports(dataset, encoder, _declared(plan, settings), licence=settings.licence)
        tally = _read_and_commit(settings, table, plan)
    failed = [*plan.failures, *tally.failures]
    return ImportSummary(
        plan=plan,
        slides=tally.slides,
        tiles=tally.tiles,
        failures=dict(Counter(f"{row.error_class}: {row.reason}" for row in failed)),
        incomplete=_incomplete(settings, plan, tally.failures),
        rounding=tally.rounding,
        bytes_read=tally.bytes_read,
        wall_s=time.perf_counter() - began,
        table=table.uri,
        version=table.version,
    )


@dataclass
class _Tally:
    """Counts of one run."""

    slides: int = 0
    tiles: int = 0
    bytes_read: int = 0
    rounding: Rounding = field(default_factory=Rounding)
    failures: list[FailureRow] = field(default_factory=list)


@dataclass
class _Part:
    """Slides that go into one commit, and those that failed on the way to it."""

    slides: list[str] = field(default_factory=list)
    rows: list[pa.Table] = field(default_factory=list)
    failures: list[FailureRow] = field(default_factory=list)
    bytes: int = 0


def _read_and_commit(settings: Settings, table: Instances, plan: ImportPlan) -> _Tally:
    tally = _Tally()
    _record(table, plan.failures, plan)
    recorded = table.failed_images(plan.failures_as).keys()
    with progress_bar("import", unit="slide", total=len(plan.pending)) as bar:
        for part in _in_parts(settings, plan, tally):
            if part.rows:
                table.commit(pa.concat_tables(part.rows))
                table.forget_failures(recorded & set(part.slides), fingerprint=plan.failures_as)
            _record(table, part.failures, plan)
            tally.slides += len(part.slides)
            tally.tiles += sum(rows.num_rows for rows in part.rows)
            tally.failures += part.failures
            part.rows.clear()  # the next part is read while this one is still named
            bar.update(len(part.slides) + len(part.failures))
            bar.set_postfix(tiles=tally.tiles, failed=len(tally.failures))
    if tally.slides:
        table.index()
    return tally


def _in_parts(settings: Settings, plan: ImportPlan, tally: _Tally) -> Iterator[_Part]:
    """The pending slides, read one after the other, in parts of COMMIT_BYTES or of one slide."""
    part = _Part()
    for found in plan.pending:
        try:
            slide = read_slide(found.file, keys=LAYOUTS[plan.layout].keys)
            owner, slide_id = found.owner, found.file.slide_id
            part.rows.append(slide_rows(slide, slide_id=slide_id, owner=owner, fingerprint=found.fingerprint))
            tally.rounding += slide.rounding
            tally.bytes_read += slide.vectors.size * np.dtype(slide.header.dtype).itemsize
            part.slides.append(slide_id)
            part.bytes += slide.vectors.nbytes
        except ImageError as error:
            part.failures.append(failure_of(settings, found.file, error))
        if part.bytes >= COMMIT_BYTES:
            yield part
            part = _Part()
    if part.slides or part.failures:
        yield part


def _record(table: Instances, failures: Sequence[FailureRow], plan: ImportPlan) -> None:
    table.commit_failures([asdict(row) | {"fingerprint": plan.failures_as} for row in failures])


def _declared(plan: ImportPlan, settings: Settings) -> list[dict[str, str]]:
    common = {"layout": plan.layout, "source": settings.dataset.root}
    return [
        common | {"fingerprint": fingerprint, "provenance": json.dumps(dict(said), sort_keys=True)}
        for fingerprint, said in plan.provenances.items()
    ]


def _incomplete(settings: Settings, plan: ImportPlan, failed: Sequence[FailureRow]) -> int:
    """Patients whose bag lacks a slide that could not be read; an empty slide lacks nothing."""
    if settings.dataset.bag != "patient":
        return 0
    owners = Features(settings.dataset).read_owners()
    lost = {row.image_id for row in (*plan.failures, *failed) if row.error_class != EMPTY}
    return len({owners[slide_id].breast_id for slide_id in lost if slide_id in owners})


def _taken(reason: str) -> str:
    return "empty" if reason.startswith(f"{EMPTY}: ") else "failed"
