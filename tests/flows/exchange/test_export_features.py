"""Features out of a store, as their readers expect them, and the same when they come back."""

from dataclasses import replace
from pathlib import Path

import datasets
import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from tests.flows.conftest import MakeStudy
from tests.flows.feature_studies import SLIDES, brought_in, handed_out
from tests.foreign_features import DIM, write_trident

from tilebank.errors import StoreError
from tilebank.flows.study.study import LabelledBags, open_study
from tilebank.mil.heads.dual_stream import DualStreamConfig
from tilebank.mil.heads.registry import build_head, score_bags
from tilebank.store.exchange.parquet import SHARD_BYTES
from tilebank.store.schema import instances_schema
from tilebank.store.tables import Store
from tilebank.terms import Split


@pytest.mark.parametrize("target", ["clam", "trident"])
def test_what_goes_out_and_comes_back_is_the_same_bit_for_bit_and_scores_the_same(
    target: str, study: MakeStudy, tmp_path: Path
) -> None:
    settings = study(write_trident(tmp_path / "in", SLIDES))
    brought_in(settings, "trident")
    for split in Split:
        handed_out(settings, target, tmp_path / "out", split)
    back = study(tmp_path / "out", store=str(tmp_path / "other"), labels=str(tmp_path / "out" / "labels.csv"))
    summary = brought_in(back, target)
    assert summary.rounding.changed == 0
    assert summary.plan.provenances != {}
    (provenance,) = summary.plan.provenances.values()
    first, second = open_study(settings, task="label"), open_study(back, task="label")
    assert provenance["fingerprint"] == first.reader.fingerprint
    head = build_head(DualStreamConfig(view_pooling="none"), dim=DIM, seeds=[1, 2])
    for split in Split:
        ids = [row.breast_id for row in first.rows[split]]
        ours, theirs = (each.reader.read_bags(ids) for each in (first, second))
        np.testing.assert_array_equal(ours.tile_features.view(np.uint16), theirs.tile_features.view(np.uint16))
        np.testing.assert_array_equal(ours.tile_offsets, theirs.tile_offsets)
        batches = [first.read(split).as_batch(), replace(first.read(split), bags=theirs).as_batch()]
        np.testing.assert_array_equal(*(score_bags(head, batch) for batch in batches))
    labels = {row.breast_id: row.label for rows in second.rows.values() for row in rows}
    assert labels == {row.breast_id: row.label for rows in first.rows.values() for row in rows}


def test_clams_files_are_as_its_reader_expects_them(study: MakeStudy, tmp_path: Path) -> None:
    settings = study(write_trident(tmp_path / "in", SLIDES))
    brought_in(settings, "trident")
    for split in (Split.TRAIN, Split.VAL):
        handed_out(settings, "clam", tmp_path / "out", split)
    labels = pd.read_csv(tmp_path / "out" / "labels.csv", dtype=str)
    assert list(labels.columns) == ["case_id", "slide_id", "exam_id", "label", "split"]
    assert labels["split"].value_counts().to_dict() == {"train": 18, "val": 6}
    splits = pd.read_csv(tmp_path / "out" / "splits_0.csv", index_col=0)
    assert splits.columns.tolist() == ["train", "val", "test"]
    assert splits.notna().sum().tolist() == [18, 6, 0]
    for slide_id in labels["slide_id"]:
        with h5py.File(tmp_path / "out" / "h5_files" / f"{slide_id}.h5") as file:
            assert (file["features"].dtype, file["coords"].dtype) == (np.float32, np.int32)
            assert file["features"].shape == SLIDES[slide_id][0].shape
            assert file.attrs["tilebank_licence"] == "unknown"
            assert file.attrs["patch_size"] == "256"
    test = set(SLIDES) - set(labels["slide_id"])
    assert not any((tmp_path / "out" / "h5_files" / f"{slide_id}.h5").exists() for slide_id in test)


def test_a_hugging_face_folder_loads_as_a_dataset(
    study: MakeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = study(write_trident(tmp_path / "in", SLIDES))
    brought_in(settings, "trident")
    monkeypatch.setattr("tilebank.store.exchange.parquet.SHARD_BYTES", 1000)
    for split in (Split.TRAIN, Split.TEST):
        handed_out(settings, "hf", tmp_path / "out", split)
    assert len(list((tmp_path / "out" / "data").glob("train-*.parquet"))) > 1
    loaded = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert set(loaded) == {"train", "test"}
    opened = open_study(settings, task="label")
    for split in (Split.TRAIN, Split.TEST):
        frame = loaded[split.value].to_pandas()
        rows = {row.breast_id: row.label for row in opened.rows[split]}
        assert dict(zip(frame["breast_id"], frame["label"], strict=True)) == rows
        for breast_id, bag in frame.groupby("breast_id"):
            vectors = np.stack(list(bag["vector"]))
            assert vectors.dtype == np.float16
            np.testing.assert_array_equal(vectors, opened.reader.read_bags([str(breast_id)]).tile_features)


def test_shards_of_parquet_go_on_where_they_ended_and_say_where_they_come_from(
    study: MakeStudy, tmp_path: Path
) -> None:
    settings = study(write_trident(tmp_path / "in", SLIDES))
    brought_in(settings, "trident")
    first = handed_out(settings, "parquet", tmp_path / "out")
    assert (first.bags, first.written) == (18, 18)
    assert SHARD_BYTES > 1 << 20
    (shard,) = (tmp_path / "out" / "data").iterdir()
    said = {key.decode(): value.decode() for key, value in pq.read_schema(shard).metadata.items()}
    assert said["fingerprint"] == open_study(settings, task="label").reader.fingerprint
    assert said["tilebank_redistributable"] == "false"
    table = pq.read_table(shard)
    some = pc.unique(table["breast_id"])[:5]
    pq.write_table(table.filter(pc.is_in(table["breast_id"], value_set=some)), shard)
    again = handed_out(settings, "parquet", tmp_path / "out")
    assert (again.bags, again.written) == (18, 13)
    ids = [pq.read_table(place)["breast_id"].unique().to_pylist() for place in (tmp_path / "out" / "data").iterdir()]
    assert sorted(map(len, ids)) == [5, 13]
    assert len({one for each in ids for one in each}) == 18
    assert handed_out(settings, "parquet", tmp_path / "out").written == 0


def test_an_interrupted_export_leaves_no_half_file_and_goes_on(study: MakeStudy, tmp_path: Path) -> None:
    settings = study(write_trident(tmp_path / "in", SLIDES))
    brought_in(settings, "trident")
    handed_out(settings, "clam", tmp_path / "out")
    files = sorted((tmp_path / "out" / "h5_files").iterdir())
    for path in files[:4]:
        path.unlink()
    (files[0].parent / f".{files[0].name}.part").write_bytes(b"half")
    stamps = {path: path.stat().st_mtime_ns for path in files[4:]}
    assert handed_out(settings, "clam", tmp_path / "out").written == 4
    assert sorted((tmp_path / "out" / "h5_files").iterdir()) == files
    assert {path: path.stat().st_mtime_ns for path in files[4:]} == stamps


def test_a_folder_holds_one_export(study: MakeStudy, tmp_path: Path) -> None:
    settings = study(write_trident(tmp_path / "in", SLIDES))
    brought_in(settings, "trident")
    handed_out(settings, "clam", tmp_path / "out")
    with pytest.raises(StoreError, match="holds an export that differs in layout; choose another with --out"):
        handed_out(settings, "trident", tmp_path / "out")
    with pytest.raises(StoreError, match="holds other files"):
        handed_out(settings, "clam", tmp_path / "in")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="cannot write to .*file/x"):
        handed_out(settings, "clam", tmp_path / "file" / "x")


def test_what_may_not_be_passed_on_is_refused_unless_somebody_says_so(study: MakeStudy, tmp_path: Path) -> None:
    settings = study(write_trident(tmp_path / "in", SLIDES))
    brought_in(settings, "trident")
    with pytest.raises(StoreError, match=r"may not be passed on \(licence: unknown.*--licence-allows"):
        handed_out(settings, "clam", tmp_path / "out", licence_allows=False)
    assert not (tmp_path / "out").exists()
    free = replace(settings.dataset, redistributable=True)
    with pytest.raises(StoreError, match="may not be passed on"):  # the table was made under the other tag
        handed_out(settings.model_copy(update={"dataset": free}), "clam", tmp_path / "out", licence_allows=False)
    opened = study(tmp_path / "in", SLIDES, "dataset.redistributable=true", store=str(tmp_path / "free"))
    brought_in(opened, "trident")
    assert handed_out(opened, "clam", tmp_path / "out", licence_allows=False).written == 18


def test_tiles_of_mammograms_come_back_as_bags_of_the_same_vectors_and_scores(study: MakeStudy, tmp_path: Path) -> None:
    table = tmp_path / "breasts.csv"
    table.write_text("\n".join(["breast_id,cancer", *(f"E{n}_L,{n % 2}" for n in range(20))]) + "\n")
    here = study(tmp_path, dataset="folder", encoder="texture", labels=str(table))
    dim, rng = here.encoder.dim, np.random.default_rng(0)
    stored = Store(here.store).open_instances("folder", "texture", dim=dim, licence=here.licence)
    for n in range(20):
        for view in ("CC", "MLO"):
            vectors = rng.normal(size=(5, dim)).astype(np.float16)
            stored.commit(
                breast_rows(f"{n}.{view}", f"E{n}_L", vectors=vectors, view=view, fingerprint=here.fingerprint)
            )
    for split in Split:
        handed_out(here, "clam", tmp_path / "out", split, task="cancer")
    back = study(tmp_path / "out", store=str(tmp_path / "other"), labels=str(tmp_path / "out" / "labels.csv"))
    brought_in(back, "clam")
    first, second = open_study(here, task="cancer"), open_study(back, task="label")
    ids = sorted(row.breast_id for rows in first.rows.values() for row in rows)
    ours, theirs = (each.reader.read_bags(ids) for each in (first, second))
    assert len(ids) == 20
    np.testing.assert_array_equal(ours.tile_offsets, theirs.tile_offsets)
    for start in ours.tile_offsets[:-1]:
        pair = (bags.tile_features[start : start + 8].view(np.uint16) for bags in (ours, theirs))
        np.testing.assert_array_equal(*(bag[np.lexsort(bag.T)] for bag in pair))
    head, labels = build_head(DualStreamConfig(view_pooling="none"), dim=dim, seeds=[1]), np.zeros(20, np.int64)
    scores = [score_bags(head, LabelledBags(bags, labels).as_batch()) for bags in (ours, theirs)]
    np.testing.assert_allclose(*scores, rtol=1e-6)


def breast_rows(
    image_id: str, breast_id: str, *, vectors: NDArray[np.float16], view: str, fingerprint: str
) -> pa.Table:
    """One view and its tiles."""
    rows = [
        {"instance_id": f"{image_id}#{n}", "image_id": image_id, "breast_id": breast_id, "view": view}
        | {"exam_id": breast_id[:-2], "patient_id": f"P-{breast_id}", "laterality": "L", "image_kind": "ffdm"}
        | {"kind": "tile" if n else "view", "x": 0, "y": 10 * n, "width": 10, "height": 10, "special": ""}
        | {"vector": vector, "fingerprint": fingerprint}
        for n, vector in enumerate(vectors)
    ]
    return pa.Table.from_pylist(rows, schema=instances_schema(vectors.shape[1]))
