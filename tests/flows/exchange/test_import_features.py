"""Features into a store: once, whole, never mixed."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from tests.flows.conftest import MakeStudy
from tests.flows.feature_studies import SLIDES, TABLE, assert_whole, brought_in, failures_of, rows_of
from tests.foreign_features import DIM, WRITERS, make_slides, write_clam, write_trident

from tilebank.errors import ConfigError, DatasetError, StoreError
from tilebank.flows.exchange import import_features as import_flow
from tilebank.flows.exchange.exchange import exchange
from tilebank.flows.exchange.import_plan import ImportPlan
from tilebank.flows.exchange.request import Request
from tilebank.flows.study.head_requirements import assert_head_reads
from tilebank.flows.study.study import open_study


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


def test_a_head_of_views_alone_is_refused_where_there_are_none(study: MakeStudy, tmp_path: Path) -> None:
    settings = study(write_clam(tmp_path / "in", SLIDES), head="views_only")
    brought_in(settings, "clam")
    opened = open_study(settings, task="label")
    tiles = sum(len(features) for features, _ in SLIDES.values())
    with pytest.raises(ConfigError, match=f"head views_only reads nothing .*'features': .* 0 views and {tiles} tiles"):
        assert_head_reads(opened, settings)
    assert_head_reads(opened, study(tmp_path / "in", head="tiles_only"))
