"""The store on real Lance tables: commits, resume, idempotent failures, pinned reads."""

from pathlib import Path

import lance
import lancedb
import numpy as np
import pyarrow as pa
import pytest

from tilebank.errors import StoreError
from tilebank.store.commits import CHUNK
from tilebank.store.reader import Reader
from tilebank.store.records import StoredView
from tilebank.store.schema import PREDICTIONS, instances_schema
from tilebank.store.tables import Instances, Store
from tilebank.terms import FailureRow

DIM = 4
LICENCE = {"licence": "CC0-1.0", "redistributable": "true"}


def image_rows(image_id: str, breast_id: str, *, tiles: int, fingerprint: str = "f1", value: float = 0.0) -> pa.Table:
    """A view and its tiles, written bottom tile first: the reader must not rely on row order."""
    rows = [
        {
            "instance_id": f"{image_id}#{place}",
            "image_id": image_id,
            "breast_id": breast_id,
            "exam_id": breast_id[:-2],
            "patient_id": "P1",
            "laterality": breast_id[-1],
            "view": "CC",
            "kind": "tile" if place else "view",
            "instances": tiles + 1,
            "x": 0,
            "y": 10 * place,
            "width": 10,
            "height": 10,
            "tissue_fraction": 0.5,
            "flipped": False,
            "vector": np.full(DIM, value + place, np.float16),
            "fingerprint": fingerprint,
        }
        for place in range(tiles, -1, -1)
    ]
    return pa.Table.from_pylist(rows, schema=instances_schema(DIM))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


@pytest.fixture
def table(store: Store) -> Instances:
    return store.open_instances("d", "e", dim=DIM, licence=LICENCE)


def reader(store: Store, *, fingerprint: str = "f1", version: int | None = None) -> Reader:
    return Reader(store.uri, dataset="d", encoder="e", fingerprint=fingerprint, version=version)


def test_done_images_are_those_with_a_view_under_the_fingerprint(table: Instances) -> None:
    table.commit(image_rows("i1", "E1_L", tiles=2))
    table.commit(image_rows("i2", "E1_R", tiles=1, fingerprint="f2"))
    assert table.done_images("f1") == {"i1"}
    assert table.done_images("f2") == {"i2"}
    assert table.count_instances("f1") == {"view": 1, "tile": 2}


def test_each_commit_is_one_version_with_its_own_chunk_id(table: Instances) -> None:
    for number in range(3):
        table.commit(image_rows(f"i{number}", "E1_L", tiles=1))
    dataset = lance.dataset(table.uri)
    chunks = [dataset.read_transaction(version).transaction_properties[CHUNK] for version in (2, 3, 4)]
    assert table.version == 4
    assert len(set(chunks)) == 3


def test_opening_again_keeps_rows_and_another_dimension_is_refused(store: Store, table: Instances) -> None:
    table.commit(image_rows("i1", "E1_L", tiles=2))
    assert store.open_instances("d", "e", dim=DIM, licence=LICENCE).done_images("f1") == {"i1"}
    with pytest.raises(StoreError, match="holds vectors of 4 values, the encoder 'e' gives 8"):
        store.open_instances("d", "e", dim=8, licence=LICENCE)


def test_failures_are_recorded_once_and_forgotten_when_stored(table: Instances) -> None:
    row = {"image_id": "i'1", "uri": "u", "stage": "decode", "error_class": "A", "reason": "r", "fingerprint": "f1"}
    table.commit_failures([row])
    table.commit_failures([row | {"error_class": "B"}, row | {"image_id": "i2"}])
    assert table.failed_images("f1") == {"i'1": "decode/B", "i2": "decode/A"}
    assert table.failed_images("f2") == {}
    table.forget_failures(["i'1"], fingerprint="f1")
    assert table.failed_images("f1") == {"i2": "decode/A"}


def test_views_come_back_with_what_was_seen_of_them_and_blanks_for_what_was_not(store: Store, table: Instances) -> None:
    seen = {"manufacturer": "Acme", "image_kind": "ffdm", "windowed_by": "linear"}
    rows = [row | seen for row in image_rows("i1", "E1_R", tiles=2).to_pylist()]
    table.commit(pa.Table.from_pylist(rows, schema=instances_schema(DIM)))
    table.commit(image_rows("i2", "E1_L", tiles=1))
    table.commit(image_rows("i3", "E1_L", tiles=1, fingerprint="f2"))
    assert reader(store).read_views() == [
        StoredView("E1_L", "CC", "", "", ""),
        StoredView("E1_R", "CC", "Acme", "ffdm", "linear"),
    ]


def test_bags_come_back_in_the_order_asked_for_and_sorted_inside(store: Store, table: Instances) -> None:
    table.commit(image_rows("i2", "E1_L", tiles=2, value=10))
    table.commit(image_rows("i1", "E1_L", tiles=1, value=20))
    table.commit(image_rows("i3", "E1_R", tiles=3, value=30))
    table.commit(image_rows("i3", "E1_R", tiles=3, value=99, fingerprint="f2"))
    table.index()
    bags = reader(store).read_bags(["E1_R", "E1_L"])
    assert bags.view_features[:, 0].tolist() == [30, 20, 10]
    assert bags.view_offsets.tolist() == [0, 1, 3]
    assert bags.tile_features[:, 0].tolist() == [31, 32, 33, 21, 11, 12]
    assert bags.tile_offsets.tolist() == [0, 3, 6]
    assert bags.tile_features.dtype == np.float16
    assert [breast.breast_id for breast in reader(store).read_breasts()] == ["E1_L", "E1_R"]


def test_a_reader_keeps_its_version_while_the_table_grows(store: Store, table: Instances) -> None:
    table.commit(image_rows("i1", "E1_L", tiles=1))
    pinned = reader(store)
    table.commit(image_rows("i2", "E1_L", tiles=1))
    assert len(pinned.read_bags(["E1_L"]).view_features) == 1
    assert len(reader(store, version=pinned.version).read_bags(["E1_L"]).view_features) == 1
    assert len(reader(store).read_bags(["E1_L"]).view_features) == 2


def test_the_indices_are_there_and_cover_all_rows(store: Store, table: Instances) -> None:
    table.commit(image_rows("i1", "E1_L", tiles=2))
    table.index()
    table.commit(image_rows("i2", "E1_L", tiles=2))
    table.index()
    found = lancedb.connect(store.uri).open_table("instances--d--e").list_indices()
    assert {(index.columns[0], index.num_unindexed_rows) for index in found} == {
        ("breast_id", 0),
        ("exam_id", 0),
        ("image_id", 0),
    }


def test_tables_carry_the_licence_of_their_dataset(store: Store, table: Instances) -> None:
    schema = lancedb.connect(store.uri).open_table("instances--d--e").schema
    assert schema.metadata[b"tilebank.licence"] == b"CC0-1.0"
    store.write_labels("d", [label("B1", task="mass", value=1)], licence=LICENCE)
    store.write_labels("d", [label("B1", task="mass", value=0)], licence=LICENCE)
    assert lancedb.connect(store.uri).open_table("labels--d").schema.metadata[b"tilebank.redistributable"] == b"true"


def label(breast_id: str, *, task: str, value: int) -> dict[str, object]:
    text = dict.fromkeys(("dataset", "patient_id", "exam_id", "stratum", "rule"), "x")
    return text | {"breast_id": breast_id, "task": task, "label": value}


def test_labels_of_a_task_are_replaced_others_stay_and_no_change_makes_no_version(store: Store) -> None:
    store.write_labels("d", [label("B1", task="mass", value=1), label("B2", task="mass", value=0)], licence=LICENCE)
    store.write_labels("d", [label("B1", task="cancer", value=1)], licence=LICENCE)
    store.write_labels("d", [label("B1", task="mass", value=0)], licence=LICENCE)
    before = lancedb.connect(store.uri).open_table("labels--d")
    rows = {(row["task"], row["breast_id"], row["label"]) for row in before.to_arrow().to_pylist()}
    assert rows == {("mass", "B1", 0), ("cancer", "B1", 1)}
    store.write_labels("d", [label("B1", task="mass", value=0)], licence=LICENCE)
    assert lancedb.connect(store.uri).open_table("labels--d").version == before.version


def test_predictions_of_a_table_without_several_scores_stay_beside_new_ones(store: Store) -> None:
    ids = dict.fromkeys(("breast_id", "exam_id", "patient_id", "split", "head", "fingerprint"), "x")
    one = ids | {"task": "mass", "run_id": "old", "label": 1, "score": 0.25}
    earlier = PREDICTIONS.remove(PREDICTIONS.get_field_index("scores"))
    place = f"{store.uri}/predictions--d--e.lance"
    lance.write_dataset(pa.Table.from_pylist([one], schema=earlier), place)
    several = ids | {"task": "density", "run_id": "new", "label": 3, "score": None, "scores": [0.25, 0.0, 0.25, 0.5]}
    store.write_predictions("d", "e", [several], licence=LICENCE)
    table = lance.dataset(place)
    assert table.schema.names == PREDICTIONS.names
    rows = {row["run_id"]: row for row in table.to_table().to_pylist()}
    assert rows == {"old": one | {"scores": None}, "new": several}
    store.write_predictions("d", "e", [several], licence=LICENCE)
    assert lance.dataset(place).version == table.version, "no change makes no version"


def test_what_is_not_there_is_named_with_what_to_do(store: Store, table: Instances) -> None:
    with pytest.raises(StoreError, match=r"tilebank extract --dataset d --encoder other"):
        Reader(store.uri, dataset="d", encoder="other", fingerprint="f1")
    table.commit(image_rows("i1", "E1_L", tiles=1))
    with pytest.raises(StoreError, match="holds no vector under the fingerprint f9 .it holds f1"):
        reader(store, fingerprint="f9")
    with pytest.raises(StoreError, match=r"1 breasts have no stored vector, such as \['E9_L'\]"):
        reader(store).read_bags(["E1_L", "E9_L"])


def test_an_unwritable_store_is_told_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="cannot write to the store .*--store URI"):
        Store(str(tmp_path / "file" / "store")).assert_writable()


def test_scattered_and_neighbouring_rows_come_back_in_the_order_asked_for(store: Store, table: Instances) -> None:
    order = [4, 1, 5, 0, 3]
    for number in range(6):
        table.commit(image_rows(f"i{number}", f"E{number}_L", tiles=number, value=10.0 * number))
    bags = reader(store).read_bags([f"E{number}_L" for number in order])
    assert bags.view_features[:, 0].tolist() == [10.0 * number for number in order]
    tiles = [[10.0 * number + place for place in range(1, number + 1)] for number in order]
    assert bags.tile_features[:, 0].tolist() == [value for bag in tiles for value in bag]
    assert np.diff(bags.tile_offsets).tolist() == order


def test_tile_places_stand_in_the_order_of_the_bags(store: Store, table: Instances) -> None:
    table.commit(image_rows("i2", "E1_L", tiles=2, value=10))
    table.commit(image_rows("i1", "E1_L", tiles=1, value=20))
    table.commit(image_rows("i3", "E1_R", tiles=3, value=30))
    table.commit(image_rows("i4", "E2_L", tiles=3, value=40))
    asked = ["E1_R", "E1_L"]
    bags, places = reader(store).read_bags(asked), reader(store).read_tile_places(asked)
    assert places.offsets.tolist() == bags.tile_offsets.tolist()
    assert places.image_ids.tolist() == ["i3"] * 3 + ["i1", "i2", "i2"]
    # The first number of a tile's vector is its image's value and its place, and y is ten times the place.
    value = {"i1": 20, "i2": 10, "i3": 30}
    expected = [value[image] + y // 10 for image, y in zip(places.image_ids, places.boxes[:, 1], strict=True)]
    assert bags.tile_features[:, 0].tolist() == expected
    assert (places.boxes[:, [0, 2, 3]] == [0, 10, 10]).all()
    assert set(places.views) == {"CC"}


def test_failures_come_back_whole_under_their_own_fingerprint(table: Instances) -> None:
    row = {"image_id": "i2", "uri": "u", "stage": "decode", "error_class": "A", "reason": "r", "fingerprint": "f1"}
    table.commit_failures([row, row | {"image_id": "i1"}, row | {"fingerprint": "f2"}])
    assert table.read_failures("f1") == [FailureRow(name, "u", "decode", "A", "r") for name in ("i1", "i2")]


def test_a_tile_whose_box_is_not_known_has_a_box_of_no_width(store: Store, table: Instances) -> None:
    unknown = dict.fromkeys(("x", "y", "width", "height"))
    rows = [row | unknown for row in image_rows("i1", "E1_L", tiles=2).to_pylist()]
    table.commit(pa.Table.from_pylist(rows, schema=instances_schema(DIM)))
    places = reader(store).read_tile_places(["E1_L"])
    assert places.boxes.tolist() == [[0, 0, 0, 0]] * 2
    assert places.offsets.tolist() == [0, 2]


def test_instances_are_counted_by_breast_in_the_order_asked_for(store: Store, table: Instances) -> None:
    table.commit(image_rows("i1", "E1_L", tiles=2))
    table.commit(image_rows("i2", "E1_L", tiles=3))
    table.commit(image_rows("i3", "E1_R", tiles=0))
    table.commit(image_rows("i4", "E2_L", tiles=5, fingerprint="f2"))
    counts = reader(store).count_instances(["E1_R", "E1_L", "E2_L"])
    assert {kind.value: count.tolist() for kind, count in counts.items()} == {"view": [1, 2, 0], "tile": [0, 5, 0]}
