"""Bags as other tools' files: which instances go where, and files that appear only when they are whole."""

from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.store.conftest import DIM, LICENCE, rows_of

from tilebank.store.exchange.export_folder import ExportCard, whole_file, write_labels
from tilebank.store.exchange.h5 import bag_place, clam_splits, write_bag
from tilebank.store.exchange.parquet import ShardWriter, written_bags
from tilebank.store.reader import Reader
from tilebank.store.tables import Store
from tilebank.terms import LabelRow, Split

CARD = ExportCard(
    layout="clam",
    dataset="d",
    encoder="e",
    task="mass",
    dim=DIM,
    fingerprint="f1",
    table_version=2,
    split_scheme="s",
    provenance={},
    **LICENCE,
)


def label(breast_id: str, value: int = 1) -> LabelRow:
    return LabelRow("d", "mass", f"P-{breast_id[:-2]}", breast_id[:-2], breast_id, value, str(value), "as it is")


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    """A breast of two images with three tiles each, and one of one image."""
    uri = str(tmp_path / "store")
    table = Store(uri).open_instances("d", "e", dim=DIM, licence=LICENCE)
    for image_id, breast_id in (("i2", "E1_L"), ("i1", "E1_L"), ("i3", "E1_R")):
        table.commit(rows_of(image_id, breast_id, tiles=3))
    return Reader(uri, dataset="d", encoder="e", fingerprint="f1")


def test_a_breasts_instances_are_read_in_the_order_of_its_bag(reader: Reader) -> None:
    found = reader.read_instances("E1_L")
    ids = [f"{image}#0" for image in ("i1", "i2")] + [f"{image}#{n}" for image in ("i1", "i2") for n in (1, 2, 3)]
    assert found["instance_id"].to_pylist() == ids


def test_an_h5_bag_holds_tiles_alone_and_says_of_which_image(reader: Reader, tmp_path: Path) -> None:
    place = bag_place(tmp_path, "E1_L", CARD)
    assert write_bag(place, reader.read_instances("E1_L"), CARD) == 6
    with h5py.File(place) as file:
        assert file["features"].shape == (6, DIM)
        assert file["coords"][:].tolist() == [[0, 10], [0, 20], [0, 30]] * 2
        assert file["image_ids"].asstr()[:].tolist() == ["i1"] * 3 + ["i2"] * 3
        assert file["coords"].attrs["patch_size_level0"] == 10
        assert file["coords"].attrs["target_magnification"] == "None"
        assert (file.attrs["fingerprint"], file.attrs["tilebank_redistributable"]) == ("f1", "true")
    alone = bag_place(tmp_path, "E1_R", CARD)
    write_bag(alone, reader.read_instances("E1_R"), CARD)
    with h5py.File(alone) as file:
        assert "image_ids" not in file, "one image needs no saying"


def test_a_shard_holds_views_and_tiles_with_labels(reader: Reader, tmp_path: Path) -> None:
    bags = (
        (label(breast_id, value), reader.read_instances(breast_id)) for breast_id, value in (("E1_L", 1), ("E1_R", 0))
    )
    assert list(ShardWriter(tmp_path, Split.VAL, CARD).write(bags)) == [8, 4]
    table = pq.read_table(tmp_path / "data" / "val-00000.parquet")
    assert table["kind"].to_pylist() == ["view"] * 2 + ["tile"] * 6 + ["view"] + ["tile"] * 3
    assert table["label"].to_pylist() == [1] * 8 + [0] * 4
    assert table.schema.field("vector").type == pa.list_(pa.float16(), DIM)
    assert written_bags(tmp_path, Split.VAL) == {"E1_L", "E1_R"}
    assert written_bags(tmp_path, Split.TRAIN) == set()


def test_a_shard_that_fails_midway_is_no_shard(reader: Reader, tmp_path: Path) -> None:
    def broken() -> object:
        yield label("E1_L"), reader.read_instances("E1_L")
        raise OSError("the store is gone")

    with pytest.raises(OSError, match="the store is gone"):
        list(ShardWriter(tmp_path, Split.TRAIN, CARD).write(broken()))  # type: ignore[arg-type]
    assert list((tmp_path / "data").iterdir()) == []


def test_a_file_stands_under_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    place = tmp_path / "new" / "file.txt"
    with whole_file(place) as unfinished:
        unfinished.write_text("half")
        assert not place.exists()
    assert place.read_text() == "half"

    def fail() -> None:
        with whole_file(place) as again:
            again.write_text("other")
            raise ValueError("no more room")

    with pytest.raises(ValueError, match="no more room"):
        fail()
    assert [(path.name, path.read_text()) for path in place.parent.iterdir()] == [("file.txt", "half")]


def test_labels_of_one_split_replace_those_of_the_same_and_keep_others(tmp_path: Path) -> None:
    write_labels(tmp_path, [label("A_L"), label("B_L", 0)], split=Split.TRAIN)
    write_labels(tmp_path, [label("C_L")], split=Split.VAL)
    table = write_labels(tmp_path, [label("B_L", 1)], split=Split.TRAIN)
    assert [(row["slide_id"], row["label"], row["split"]) for row in table] == [
        ("B_L", "1", "train"),
        ("C_L", "1", "val"),
    ]
    rows = clam_splits([*table, {"slide_id": "D_L", "split": "train"}])
    assert rows == [
        {"": "0", "train": "B_L", "val": "C_L", "test": ""},
        {"": "1", "train": "D_L", "val": "", "test": ""},
    ]


def test_vectors_keep_their_bits_in_float32(reader: Reader, tmp_path: Path) -> None:
    instances = reader.read_instances("E1_R")
    place = bag_place(tmp_path, "E1_R", CARD)
    write_bag(place, instances, CARD)
    with h5py.File(place) as file:
        back = file["features"][:].astype(np.float16)
    kept = np.stack([np.asarray(v, np.float16) for v in instances["vector"].to_pylist()[1:]])
    np.testing.assert_array_equal(back.view(np.uint16), kept.view(np.uint16))
