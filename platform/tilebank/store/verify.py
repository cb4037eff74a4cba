"""Check that a table of instances is complete: read it once in batches and count by image.

An image is stored whole when it has one view row, `<image_id>#0`, and its instances are numbered without gap or
repetition, as many as its rows say that it has; a slide that was encoded elsewhere has no view, and is numbered
likewise. Memory grows with the images, not with the rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import lance
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tilebank.errors import StoreError
from tilebank.files import join_uri
from tilebank.storage_errors import storage_reason
from tilebank.store.commits import open_table
from tilebank.store.schema import sql_literal, table_name
from tilebank.store.verify_counts import IMAGE, OWNERS, count_rows, expected_mix, fold

BATCH_ROWS = 8192
BUFFER_BYTES = 64 << 20  # of what Lance reads ahead
FOLD_EVERY = 64  # batches; then their counts are added up
NAMED = 20  # images that a problem names
COLUMNS = [*IMAGE, *OWNERS, "instance_id", "kind", "instances", "vector"]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, and with which images: `named` are the first of `count`, with details where known."""

    what: str
    count: int
    named: tuple[str, ...]


@dataclass(frozen=True)
class Verified:
    """What was looked at, and what is wrong with it."""

    table: str
    version: int
    fingerprints: tuple[str, ...]
    images: int
    instances: int
    failures: int
    problems: tuple[Problem, ...]


def verify_instances(store_uri: str, dataset: str, *, encoder: str, unit_norm: bool, views: bool = True) -> Verified:
    """Read everything and count. Raises StoreError when unreadable.

    unit_norm: the encoder's vectors have length 1. views: each image has one; imported slides have only tiles.
    """
    names = [table_name(table, dataset, encoder) for table in ("instances", "failures")]
    try:
        instances, failures = (open_table(join_uri(store_uri, f"{name}.lance")) for name in names)
        owners = _counted(instances, unit_norm=unit_norm)
        images = fold([owners], by=IMAGE)
        failed = failures.to_table(columns=list(IMAGE))
        problems = [
            *_image_problems(instances, images, expected_views=views),
            *_owner_problems(owners),
            _failed_too(images, failed),
        ]
    except (OSError, ValueError) as error:
        reason = storage_reason(error, store_uri)
        raise StoreError(f"cannot read the whole of table {names[0]} in {store_uri}: {reason}") from error
    return Verified(
        table=names[0],
        version=int(instances.version),
        fingerprints=tuple(sorted(images["fingerprint"].unique().to_pylist())),
        images=images.num_rows,
        instances=int(pc.sum(images["rows"]).as_py() or 0),
        failures=failed.num_rows,
        problems=tuple(problem for problem in problems if problem.count),
    )


def _counted(table: lance.LanceDataset, *, unit_norm: bool) -> pa.Table:
    """Counts by image and owner, over all rows."""
    scanner = table.scanner(
        columns=COLUMNS, batch_size=BATCH_ROWS, io_buffer_size=BUFFER_BYTES, batch_readahead=4, fragment_readahead=2
    )
    folded: list[pa.Table] = []
    for number, batch in enumerate(scanner.to_batches(), start=1):
        folded.append(count_rows(batch, unit_norm=unit_norm))
        if number % FOLD_EVERY == 0:
            folded = [fold(folded, by=(*IMAGE, *OWNERS))]
    return fold(folded, by=(*IMAGE, *OWNERS))


def _image_problems(table: lance.LanceDataset, images: pa.Table, *, expected_views: bool) -> Iterator[Problem]:
    """What the counts of single images show."""
    rows, last = images["rows"].to_numpy(), images["last"].to_numpy()
    views, first = images["views"].to_numpy(), images["first_views"].to_numpy()
    wrong = {
        "no view row": (views == 0) & expected_views,
        "a view where only tiles are stored": (views > 0) & (not expected_views),
        "several view rows": views > 1,
        "the view is not instance #0": (views == 1) & (first == 0),
        "rows that are neither view nor tile": views + images["tiles"].to_numpy() != rows,
        "instance ids that are not <image_id>#<number>": images["misnamed"].to_numpy() > 0,
        "vectors with values that are not finite": images["not_finite"].to_numpy() > 0,
        "vectors that are not of length 1": images["not_unit"].to_numpy() > 0,
    }
    for what, mask in wrong.items():
        yield _problem(what, images.filter(pa.array(mask)))
    mix, claimed = images["mix"].to_numpy(), images["claimed"].to_numpy()
    uneven = (last + 1 != rows) | (claimed != rows**2) | (mix != expected_mix(np.minimum(last, rows - 1)))
    yield from _numbering(table, images.filter(pa.array(uneven)))


def _numbering(table: lance.LanceDataset, images: pa.Table) -> Iterator[Problem]:
    """Instances missing or doubled; those of the first images are looked up by number."""
    details = []
    for image in images.slice(0, NAMED).to_pylist():
        clause = " AND ".join(f"{name} = {sql_literal(image[name])}" for name in IMAGE)
        found = table.to_table(columns=["instance_id", "instances"], filter=clause)
        gaps = _gaps(found["instance_id"].to_pylist(), claimed=pc.max(found["instances"]).as_py() or 0)
        details.append(f"{image['image_id']} ({gaps})")
    yield Problem("instances missing or doubled", images.num_rows, tuple(details))


def _gaps(instance_ids: list[str], *, claimed: int) -> str:
    """`missing #3; doubled #1`, of instances of which there should be `claimed`."""
    numbers = [int(text) for text in (name.rpartition("#")[2] for name in instance_ids) if text.isdigit()]
    known = max(claimed, min(max(numbers, default=-1), len(numbers) + NAMED) + 1)
    missing = sorted(set(range(known)) - set(numbers))
    doubled = sorted({number for number in numbers if numbers.count(number) > 1})
    said = [
        f"{word} {', '.join(f'#{k}' for k in held[:5])}" for word, held in (("missing", missing), ("doubled", doubled))
    ]
    return "; ".join(text for text, held in zip(said, (missing, doubled), strict=True) if held) or "misnumbered"


def _owner_problems(owners: pa.Table) -> Iterator[Problem]:
    """An image belongs to one breast of one patient, and so does a breast."""
    apart = owners.group_by(list(IMAGE)).aggregate([([], "count_all")])
    yield _problem("rows of several breasts or patients in one image", apart.filter(pc.greater(apart["count_all"], 1)))
    breasts = owners.group_by("breast_id").aggregate([("patient_id", "count_distinct")])
    shared = breasts.filter(pc.greater(breasts["patient_id_count_distinct"], 1))["breast_id"].to_pylist()
    yield Problem("breasts of several patients", len(shared), tuple(sorted(shared)[:NAMED]))


def _failed_too(images: pa.Table, failed: pa.Table) -> Problem:
    both = images.join(failed, keys=list(IMAGE), join_type="left semi")
    return _problem("both stored and recorded as failed", both)


def _problem(what: str, images: pa.Table) -> Problem:
    return Problem(what, images.num_rows, tuple(sorted(images["image_id"].to_pylist())[:NAMED]))
