"""Features in and out of a store: once, whole, never mixed, and the same when they come back."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import datasets
import h5py
import lance
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from tests.foreign_features import DIM, WRITERS, Slides, make_slides, write_clam, write_labels, write_trident

from tilebank.errors import ConfigError, DatasetError, StoreError
from tilebank.flows import import_features as import_flow
from tilebank.flows.exchange import Request, exchange
from tilebank.flows.export_features import ExportSummary
from tilebank.flows.extract import extract
from tilebank.flows.head_input import assert_head_reads
from tilebank.flows.import_features import ImportSummary
from tilebank.flows.import_plan import ImportPlan
from tilebank.flows.maintain import Request as Upkeep
from tilebank.flows.maintain import Verdict, maintain
from tilebank.flows.settings import Choices, Settings, load_settings
from tilebank.flows.study import LabelledBags, open_study
from tilebank.mil.dual_stream import DualStreamConfig
from tilebank.mil.heads import build_head, score_bags
from tilebank.store.exchange_parquet import SHARD_BYTES
from tilebank.store.schema import instances_schema
from tilebank.store.tables import Store
from tilebank.terms import Split

SLIDES = make_slides(30)
TABLE = "instances--features--uni.lance"

MakeStudy = Callable[..., Settings]


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeStudy:
    """`study(root, slides)`: settings of an import, with labels for all of `slides`."""

    monkeypatch.setenv("TILEBANK_HOME", str(tmp_path / "home"))

    def make(root: Path, slides: Slides = SLIDES, *pairs: str, patients: int = 0, **choices: str) -> Settings:
        labels = choices.pop("labels", str(write_labels(tmp_path / "labels.csv", slides, patients=patients)))
        said = (f"dataset.labels={labels}", "splits.val=0.2", *pairs)
        return load_settings(replace(Choices(dataset="features", encoder="uni", root=str(root), set=said), **choices))

    return make


def brought_in(settings: Settings, layout: str) -> ImportSummary:
    summary = exchange(settings, Request("import", source=layout))
    assert isinstance(summary, ImportSummary)
    return summary


def handed_out(settings: Settings, target: str, out: Path, split: Split = Split.TRAIN, **more: object) -> ExportSummary:
    request = Request("export", target=target, task="label", out=out, split=split.value, licence_allows=True)
    summary = exchange(settings, replace(request, **more))  # type: ignore[arg-type]
    assert isinstance(summary, ExportSummary)
    return summary


def rows_of(settings: Settings, table: str = TABLE) -> pd.DataFrame:
    return lance.dataset(f"{settings.store}/{table}").to_table().to_pandas()


def failures_of(settings: Settings) -> dict[str, str]:
    rows = rows_of(settings, "failures--features--uni.lance")
    return dict(zip(rows["image_id"], rows["stage"] + "/" + rows["error_class"], strict=True))


def assert_whole(settings: Settings) -> None:
    verdict = maintain(settings, Upkeep("verify"))
    assert isinstance(verdict, Verdict)
    assert verdict.verified.problems == ()


@pytest.mark.parametrize("layout", WRITERS)
def test_an_import_stores_every_tile_once_and_a_second_adds_none(layout: str, study: MakeStudy, tmp_path: Path) -> None:
    settings = study(WRITERS[layout](tmp_path / "in", SLIDES))
    summary = brought_in(settings, layout)
    tiles = sum(len(features) for features, _ in SLIDES.values())
    assert (summary.slides, summary.tiles, summary.failures) == (30, tiles, {})
    again = brought_in(settings, layout)
    assert (again.slides, again.plan.done, again.version) == (0, 30, summary.version)
    rows = rows_of(settings)
    assert len(rows) == rows["instance_id"].nunique() == tiles
    for slide_id, stored in rows.groupby("image_id"):
        features, corners = SLIDES[str(slide_id)]
        np.testing.assert_array_equal(np.stack(list(stored["vector"])), features.astype(np.float16))
        np.testing.assert_array_equal(stored[["x", "y"]].to_numpy(), corners)
    assert_whole(settings)


def test_an_interrupted_import_goes_on(study: MakeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = study(write_clam(tmp_path / "in", SLIDES))
    monkeypatch.setattr(import_flow, "COMMIT_BYTES", 400)
    read, count = import_flow.read_slide, iter(range(12))

    def until_interrupted(*args: object, **more: object) -> object:
        if next(count, None) is None:
            raise KeyboardInterrupt
        return read(*args, **more)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(import_flow, "read_slide", until_interrupted)
        with pytest.raises(KeyboardInterrupt):
            brought_in(settings, "clam")
    stood = rows_of(settings)["image_id"].nunique()
    assert 0 < stood <= 12
    assert brought_in(settings, "clam").slides == 30 - stood
    assert_whole(settings)


def test_broken_empty_and_doubled_files_are_known_and_the_run_goes_on(study: MakeStudy, tmp_path: Path) -> None:
    slides = dict(SLIDES)
    slides["S00"] = (np.empty((0, DIM), np.float32), np.empty((0, 2), np.int64))
    slides["S01"] = (slides["S01"][0][:, :4], slides["S01"][1])
    root = write_trident(tmp_path / "in", slides)
    folder = next(root.rglob("features_uni_v1"))
    damaged = folder / "S02.h5"
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[: len(whole) // 2])
    with h5py.File(folder / "S03.h5", "a") as file:
        del file["features"]
    with h5py.File(folder / "S04.h5", "a") as file:
        file["features"][1, 1] = np.nan
    twin = folder.parent / "again" / folder.name / "S05.h5"
    twin.parent.mkdir(parents=True)
    twin.write_bytes((folder / "S05.h5").read_bytes())
    settings = study(root)
    summary = brought_in(settings, "trident")
    assert summary.slides == 25
    found = failures_of(settings)
    (doubled,) = [image_id for image_id in found if image_id.startswith("file-")]
    classes = {"S00": "tile/NoTiles", "S01": "read/OtherDimension", "S02": "read/DamagedFile", "S03": "read/NoFeatures"}
    assert found == classes | {"S04": "read/NotFinite", doubled: "identify/DuplicateSlide"}
    assert "empty, NoTiles" in summary.as_text()
    assert_whole(settings)

    damaged.write_bytes(whole)
    assert brought_in(settings, "trident").slides == 1
    assert "S02" not in failures_of(settings)
    assert_whole(settings)


def test_a_slide_of_nobody_is_taken_once_the_table_names_it(study: MakeStudy, tmp_path: Path) -> None:
    known = {slide_id: slide for slide_id, slide in SLIDES.items() if slide_id != "S07"}
    root = write_clam(tmp_path / "in", SLIDES)
    settings = study(root, known)
    assert brought_in(settings, "clam").slides == 29
    assert failures_of(settings) == {"S07": "identify/MissingPatient"}
    assert brought_in(study(root), "clam").slides == 1
    assert failures_of(settings) == {}


def test_two_provenances_never_share_a_bag(study: MakeStudy, tmp_path: Path) -> None:
    root, half = tmp_path / "in", {slide_id: SLIDES[slide_id] for slide_id in list(SLIDES)[:10]}
    write_trident(root, SLIDES)
    write_trident(root, half, patch_size=512)
    settings = study(root)
    plan = exchange(settings, Request("import", source="trident", plan=True))
    assert isinstance(plan, ImportPlan)
    assert sorted(said["patch_size"] for said in plan.provenances.values()) == ["256", "512"]
    assert not Path(settings.store).exists(), "a plan writes nothing"
    brought_in(settings, "trident")
    with pytest.raises(ConfigError, match=r"never mixed; choose one with --set dataset.fingerprint=.*patch_size 512"):
        open_study(settings, task="label")
    (chosen,) = [name for name, said in plan.provenances.items() if said["patch_size"] == "256"]
    dataset = replace(settings.dataset, fingerprint=chosen)
    opened = open_study(settings.model_copy(update={"dataset": dataset}), task="label")
    assert {breast.breast_id for breast in opened.reader.read_breasts()} == set(SLIDES) - set(half)


def test_a_patients_slides_are_one_bag_in_the_order_of_their_names(study: MakeStudy, tmp_path: Path) -> None:
    settings = study(write_trident(tmp_path / "in", SLIDES), SLIDES, "dataset.bag=patient", patients=15)
    brought_in(settings, "trident")
    bags = open_study(settings, task="label").reader.read_bags(["P3"])
    expected = []
    for slide_id in ("S03", "S18"):
        features, corners = SLIDES[slide_id]
        expected.append(features.astype(np.float16)[np.lexsort(corners.T)])
    np.testing.assert_array_equal(bags.tile_features, np.concatenate(expected))
    assert bags.view_offsets.tolist() == [0, 0]


def test_a_patient_who_lacks_a_slide_is_counted(study: MakeStudy, tmp_path: Path) -> None:
    root = write_clam(tmp_path / "in", SLIDES)
    (root / "h5_files" / "S03.h5").write_bytes(b"cut")
    settings = study(root, SLIDES, "dataset.bag=patient", patients=15)
    summary = brought_in(settings, "clam")
    assert summary.incomplete == 1
    assert "patients who lack a slide that failed" in summary.as_text()


def test_without_boxes_a_bag_keeps_the_order_of_its_file(study: MakeStudy, tmp_path: Path) -> None:
    root = write_clam(tmp_path / "in", SLIDES)
    for path in (root / "h5_files").iterdir():
        with h5py.File(path, "a") as file:
            del file["coords"]
    settings = study(root)
    brought_in(settings, "clam")
    assert rows_of(settings)[["x", "y", "width", "height"]].isna().all().all()
    bags = open_study(settings, task="label").reader.read_bags(list(SLIDES))
    vectors = np.concatenate([features for features, _ in SLIDES.values()]).astype(np.float16)
    np.testing.assert_array_equal(bags.tile_features, vectors)


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
    monkeypatch.setattr("tilebank.store.exchange_parquet.SHARD_BYTES", 1000)
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
    with pytest.raises(StoreError, match="holds files of something else"):
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


def test_nothing_that_can_be_read_stops_the_run_before_a_table_is_made(study: MakeStudy, tmp_path: Path) -> None:
    settings = study(write_trident(tmp_path / "in", SLIDES))
    with pytest.raises(DatasetError, match=r"none of 30 files .* can be taken as stamp .*holds no feats or patch_emb"):
        brought_in(settings, "stamp")
    assert not Path(settings.store, TABLE).exists()


def test_vectors_of_another_dimension_stop_the_run(study: MakeStudy, tmp_path: Path) -> None:
    settings = study(write_clam(tmp_path / "in", SLIDES))
    brought_in(settings, "clam")
    other = study(write_clam(tmp_path / "wide", make_slides(30, dim=16)))
    with pytest.raises(StoreError, match="holds vectors of 8 values, the encoder 'uni' gives 16"):
        brought_in(other, "clam")


def test_what_is_not_said_or_does_not_fit_together_is_asked_for(study: MakeStudy, tmp_path: Path) -> None:
    settings = study(tmp_path)
    with pytest.raises(ConfigError, match="import needs --from LAYOUT, one of trident, clam, stamp, torchmil, h5"):
        exchange(settings, Request("import"))
    with pytest.raises(ConfigError, match="export needs --to LAYOUT, one of clam, trident, parquet, hf, and --out"):
        exchange(settings, Request("export", target="clam"))
    with pytest.raises(ConfigError, match="dataset 'phantom' is read from its images"):
        exchange(study(tmp_path, dataset="phantom", encoder="texture"), Request("import", source="clam"))
    with pytest.raises(StoreError, match=r"holds no vectors of dataset 'features' and encoder 'uni'; bring them in"):
        open_study(settings, task="label")
    with pytest.raises(DatasetError, match="has no images, only features that were made elsewhere"):
        extract(settings)
    assert not Path(settings.store).exists()
    with pytest.raises(ConfigError, match="name the encoder that made the features with --encoder"):
        exchange(study(tmp_path, encoder="texture"), Request("import", source="clam"))
    for name in ("a--b", "a/b"):
        with pytest.raises(ConfigError, match="an encoder that ran elsewhere is named in letters"):
            study(tmp_path, encoder=name)


def test_a_summary_is_json(study: MakeStudy, tmp_path: Path) -> None:
    settings = study(write_clam(tmp_path / "in", SLIDES))
    summary = json.loads(json.dumps(brought_in(settings, "clam").as_dict()))
    assert summary["plan"]["slides"] == 30
    assert summary["rounding"]["changed"] > 0
    written = json.loads(json.dumps(handed_out(settings, "clam", tmp_path / "out").as_dict()))
    assert written["card"]["tilebank_task"] == "label"
    assert Path(written["out"]).is_dir()


def test_a_head_of_views_alone_is_refused_where_there_are_none(study: MakeStudy, tmp_path: Path) -> None:
    settings = study(write_clam(tmp_path / "in", SLIDES), head="views_only")
    brought_in(settings, "clam")
    opened = open_study(settings, task="label")
    tiles = sum(len(features) for features, _ in SLIDES.values())
    with pytest.raises(ConfigError, match=f"head views_only reads nothing .*'features': .* 0 views and {tiles} tiles"):
        assert_head_reads(opened, settings)
    assert_head_reads(opened, study(tmp_path / "in", head="tiles_only"))


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
