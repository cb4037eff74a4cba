"""Looking after a table: what verify finds, what compact, index, drop and clean do, and whom they wait for."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import lance
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from lance.fragment import write_fragments
from tests.store.conftest import DIM, LICENCE, rows_of

from tilebank.errors import StoreError
from tilebank.files import join_uri
from tilebank.store.commits import open_table
from tilebank.store.inventory import list_tables
from tilebank.store.lease.lease import hold_lease
from tilebank.store.maintenance import Target, clean_tables, compact_tables, drop_fingerprint, index_tables
from tilebank.store.tables import Instances, Store
from tilebank.store.verify import Verified, verify_instances
from tilebank.store.verify_counts import count_rows, expected_mix, fold

FAILURE = {"image_id": "i9", "uri": "u", "stage": "decode", "error_class": "A", "reason": "r", "fingerprint": "f1"}


@pytest.fixture
def table(store_uri: str) -> Instances:
    """Four images in four commits under two fingerprints, and a failure."""
    table = Store(store_uri).open_instances("d", "e", dim=DIM, licence=LICENCE)
    for image, breast, fingerprint in (
        ("i1", "E1_L", "f1"),
        ("i2", "E1_R", "f1"),
        ("i3", "E2_L", "f1"),
        ("i1", "E1_L", "f2"),
    ):
        table.commit(rows_of(image, breast, fingerprint=fingerprint))
    table.commit_failures([FAILURE])
    return table


def target(store_uri: str, *, plan: bool = False) -> Target:
    return Target(store_uri, "d", "e", plan=plan)


def verify(store_uri: str, *, unit_norm: bool = True) -> Verified:
    return verify_instances(store_uri, "d", encoder="e", unit_norm=unit_norm)


def dataset(store_uri: str, kind: str = "instances") -> lance.LanceDataset:
    return open_table(join_uri(store_uri, f"{kind}--d--e.lance"))


def test_a_whole_table_has_no_problem(store_uri: str, table: Instances) -> None:
    found = verify(store_uri)
    assert (found.images, found.instances, found.failures) == (4, 12, 1)
    assert (found.fingerprints, found.version, found.problems) == (("f1", "f2"), table.version, ())


def changed(rows: pa.Table, column: str, values: list[object]) -> pa.Table:
    place = rows.schema.get_field_index(column)
    return rows.set_column(place, rows.schema.field(place), pa.array(values, rows.schema.field(place).type))


def vectors(*values: float) -> list[object]:
    return [np.full(DIM, value, np.float16) for value in values]


FRESH = rows_of("i5", "E5_L")
DEFECTS: dict[str, tuple[Callable[[lance.LanceDataset], object], str, tuple[str, ...]]] = {
    "a view row is gone": (
        lambda table: table.delete("image_id = 'i2' AND kind = 'view'"),
        "no view row",
        ("i2",),
    ),
    "an instance is gone": (
        lambda table: table.delete("instance_id = 'i2#1'"),
        "instances missing or doubled",
        ("i2 (missing #1)",),
    ),
    "the last tile is gone": (
        lambda table: table.delete("instance_id = 'i2#2'"),
        "instances missing or doubled",
        ("i2 (missing #2)",),
    ),
    "a row that claims more": (
        lambda table: table.insert(changed(FRESH, "instances", [3, 4, 3])),
        "instances missing or doubled",
        ("i5 (missing #3)",),
    ),
    "a tile is there twice": (
        lambda table: table.insert(rows_of("i2", "E1_R").slice(2, 1)),
        "instances missing or doubled",
        ("i2 (doubled #2)",),
    ),
    "one tile in another's place": (
        lambda table: (table.insert(rows_of("i2", "E1_R").slice(2, 1)), table.delete("instance_id = 'i2#1'")),
        "instances missing or doubled",
        ("i2 (missing #1; doubled #2)",),
    ),
    "an image is there twice": (
        lambda table: table.insert(rows_of("i3", "E2_L")),
        "several view rows",
        ("i3",),
    ),
    "an image of two breasts": (
        lambda table: table.insert(changed(FRESH, "breast_id", ["E5_L", "E5_R", "E5_L"])),
        "rows of several breasts or patients in one image",
        ("i5",),
    ),
    "a breast of two patients": (
        lambda table: table.insert(changed(rows_of("i5", "E1_L"), "patient_id", ["Q"] * 3)),
        "breasts of several patients",
        ("E1_L",),
    ),
    "a vector that is no number": (
        lambda table: table.insert(changed(FRESH, "vector", vectors(0.5, np.nan, 0.5))),
        "vectors with values that are not finite",
        ("i5",),
    ),
    "an infinite vector": (
        lambda table: table.insert(changed(FRESH, "vector", vectors(0.5, 0.5, np.inf))),
        "vectors with values that are not finite",
        ("i5",),
    ),
    "a vector of another length": (
        lambda table: table.insert(changed(FRESH, "vector", vectors(0.5, 0.6, 0.0))),
        "vectors that are not of length 1",
        ("i5",),
    ),
    "an id of another image": (
        lambda table: table.insert(changed(FRESH, "instance_id", ["i5#0", "i6#1", "i5#2"])),
        "instance ids that are not <image_id>#<number>",
        ("i5",),
    ),
    "a view that is not the first": (
        lambda table: table.insert(changed(FRESH, "kind", ["tile", "view", "tile"])),
        "the view is not instance #0",
        ("i5",),
    ),
    "a kind that nobody knows": (
        lambda table: table.insert(changed(FRESH, "kind", ["view", "tile", "patch"])),
        "rows that are neither view nor tile",
        ("i5",),
    ),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_planted_defect_is_found_and_named(store_uri: str, table: Instances, defect: str) -> None:
    plant, what, named = DEFECTS[defect]
    plant(dataset(store_uri))
    problems = {problem.what: (problem.count, problem.named) for problem in verify(store_uri).problems}
    assert problems[what] == (len(named), named)


def test_an_image_both_stored_and_failed_is_named(store_uri: str, table: Instances) -> None:
    table.commit_failures([FAILURE | {"image_id": "i3"}, FAILURE | {"image_id": "i2", "fingerprint": "f2"}])
    (problem,) = verify(store_uri).problems
    assert (problem.what, problem.count, problem.named) == ("both stored and recorded as failed", 1, ("i3",))


def test_lengths_are_looked_at_only_where_the_encoder_says_1(store_uri: str, table: Instances) -> None:
    dataset(store_uri).insert(changed(FRESH, "vector", vectors(5, 6, 0)))
    assert verify(store_uri, unit_norm=False).problems == ()


def test_an_empty_table_is_well_and_a_missing_one_is_told(store_uri: str) -> None:
    with pytest.raises(StoreError, match="cannot read the whole"):
        verify(store_uri)
    Store(store_uri).open_instances("d", "e", dim=DIM, licence=LICENCE)
    found = verify(store_uri)
    assert (found.images, found.problems) == (0, ())


def test_a_lost_data_file_is_told(tmp_path: Path) -> None:
    table = Store(str(tmp_path)).open_instances("d", "e", dim=DIM, licence=LICENCE)
    table.commit(rows_of("i1"))
    next((tmp_path / "instances--d--e.lance" / "data").iterdir()).unlink()
    with pytest.raises(StoreError, match="cannot read the whole"):
        verify(str(tmp_path))


def test_counts_do_not_depend_on_how_rows_are_cut_into_batches() -> None:
    rows = pa.concat_tables([rows_of(f"i{n}", f"E{n % 3}_L", tiles=n) for n in range(7)])
    rows = rows.take(np.random.default_rng(0).permutation(rows.num_rows)).combine_chunks()

    def counted(size: int) -> list[dict[str, object]]:
        parts = [count_rows(batch, unit_norm=True) for batch in rows.to_batches(max_chunksize=size)]
        return fold(parts, by=("fingerprint", "image_id")).sort_by("image_id").to_pylist()

    assert counted(1) == counted(4) == counted(1000)
    assert [row["rows"] for row in counted(4)] == [1, 2, 3, 4, 5, 6, 7]
    assert [row["mix"] for row in counted(4)] == expected_mix(np.arange(7)).tolist()
    assert len(set(expected_mix(np.arange(10_000)).tolist())) == 10_000


def test_the_inventory_counts_what_is_there(store_uri: str, table: Instances) -> None:
    Store(store_uri).write_labels("d", [], licence=LICENCE)
    with hold_lease(store_uri, "instances--d--e"):
        failures, instances, labels = list_tables(store_uri)
    assert (failures.name, instances.name, labels.name) == ("failures--d--e", "instances--d--e", "labels--d")
    assert (instances.rows, instances.dim, instances.version, instances.versions) == (12, DIM, 5, 5)
    assert [(one.fingerprint, one.images, one.tiles) for one in instances.extracted] == [("f1", 3, 6), ("f2", 1, 2)]
    assert (instances.licence, instances.redistributable) == ("CC0-1.0", "true")
    assert "is being written by" in instances.holder
    assert (failures.rows, failures.dim, failures.extracted, failures.holder) == (1, 0, (), "")
    files = dataset(store_uri).all_files().read_all()
    assert instances.bytes == pc.sum(files["size_bytes"]).as_py() > 0
    assert list_tables(join_uri(store_uri, "nowhere")) == []


def test_compacting_keeps_rows_and_indices_and_a_plan_changes_nothing(store_uri: str, table: Instances) -> None:
    table.index()
    rows, version = dataset(store_uri).to_table().sort_by("instance_id"), dataset(store_uri).version
    planned = compact_tables(target(store_uri, plan=True))
    assert planned[0].figures == {"rows": 12, "fragments": 4, "groups to be put together": 1}
    assert (dataset(store_uri).version, planned[0].done) == (version, False)
    instances, failures = compact_tables(target(store_uri))
    assert instances.figures == {"rows": 12, "fragments before": 4, "fragments": 1}
    assert (failures.table, failures.figures["fragments"]) == ("failures--d--e", 1)
    assert dataset(store_uri).to_table().sort_by("instance_id") == rows
    assert dataset(store_uri).to_table(filter="breast_id = 'E2_L'").num_rows == 3
    assert {index.num_rows_indexed for index in dataset(store_uri).describe_indices()} == {12}


def test_indexing_covers_all_rows(store_uri: str, table: Instances) -> None:
    assert index_tables(target(store_uri, plan=True))[0].figures["rows not indexed before"] == 12
    assert dataset(store_uri).describe_indices() == []
    index_tables(target(store_uri))
    table = Store(store_uri).open_instances("d", "e", dim=DIM, licence=LICENCE)
    table.commit(rows_of("i7"))
    assert index_tables(target(store_uri))[0].figures == {"rows": 15, "rows not indexed before": 3}
    assert {index.num_rows_indexed for index in dataset(store_uri).describe_indices()} == {15}


def test_dropping_a_fingerprint_takes_its_rows_and_failures_alone(store_uri: str, table: Instances) -> None:
    planned, _ = drop_fingerprint(target(store_uri, plan=True), "f1")
    assert planned.figures == {"rows that go": 9, "rows that stay": 3, "images that go": 3, "tiles that go": 6}
    assert dataset(store_uri).count_rows() == 12
    _, failures = drop_fingerprint(target(store_uri), "f1")
    assert failures.figures == {"rows that go": 1, "rows that stay": 0}
    assert dataset(store_uri).to_table()["fingerprint"].to_pylist() == ["f2"] * 3
    assert dataset(store_uri, "failures").count_rows() == 0
    with pytest.raises(StoreError, match="holds nothing under the fingerprint f1; it holds f2"):
        drop_fingerprint(target(store_uri), "f1")


def test_cleaning_removes_old_versions_and_lost_files_and_nothing_in_use(store_uri: str, table: Instances) -> None:
    write_fragments(rows_of("lost"), dataset(store_uri), mode="append")  # of a writer that died before its commit
    compact_tables(target(store_uri))
    kept, _ = clean_tables(target(store_uri))
    assert kept.figures["old versions"] == 0
    assert kept.figures["files of unfinished writes"] == 1
    assert "the youngest is 0.0 h old" in str(kept.figures["left alone"])

    now = timedelta(0)
    planned, _ = clean_tables(target(store_uri, plan=True), older_than=now)
    before = {one.name: one.bytes for one in list_tables(store_uri)}
    cleaned, _ = clean_tables(target(store_uri), older_than=now)
    after = {one.name: one.bytes for one in list_tables(store_uri)}
    assert cleaned.figures == planned.figures
    assert (cleaned.figures["old versions"], cleaned.figures["files of unfinished writes"]) == (6, 1)
    assert before["instances--d--e"] - after["instances--d--e"] == cleaned.figures["bytes"]
    assert len(list(dataset(store_uri).versions())) == 1
    data = [path for path in dataset(store_uri).all_files().read_all()["path"].to_pylist() if path.startswith("data/")]
    assert len(data) == 1
    assert verify(store_uri).problems == ()


def test_an_unfinished_write_younger_than_the_limit_is_never_cleaned(store_uri: str, table: Instances) -> None:
    fragments = write_fragments(rows_of("i8"), dataset(store_uri), mode="append")
    clean_tables(target(store_uri), older_than=timedelta(hours=1))
    append = lance.LanceOperation.Append(fragments)
    lance.LanceDataset.commit(dataset(store_uri), append, read_version=dataset(store_uri).version)
    assert verify(store_uri).images == 5


@pytest.mark.parametrize("action", [compact_tables, index_tables, clean_tables, lambda t: drop_fingerprint(t, "f1")])
def test_what_changes_a_table_is_refused_while_another_writes_it(
    store_uri: str, table: Instances, action: Callable[[Target], object]
) -> None:
    version = dataset(store_uri).version
    with hold_lease(store_uri, "instances--d--e"):
        action(target(store_uri, plan=True))
        with pytest.raises(StoreError, match="instances--d--e in .* is being written by"):
            action(target(store_uri))
    assert dataset(store_uri).version == version
    action(target(store_uri))


def test_what_is_not_there_is_told(store_uri: str) -> None:
    with pytest.raises(StoreError, match="has no table instances--d--e"):
        compact_tables(target(store_uri))
