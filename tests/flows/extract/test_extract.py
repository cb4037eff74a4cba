"""Extraction through real Ray and real Lance: complete, exact, repeatable, and honest about what failed."""

import shutil
from pathlib import Path

import lance
import numpy as np
import pytest
from pydicom.uid import JPEG2000Lossless
from tests.conftest import half_disc, make_dicom
from tests.flows.conftest import MakeSettings
from tests.flows.stored_phantoms import copy_images

from tilebank.encoders.registry import load_encoder
from tilebank.errors import ConfigError, DatasetError, EncoderError, StoreError
from tilebank.flows.engine.pipelines import read_manifest
from tilebank.flows.extract.extract import extract
from tilebank.flows.extract.plan import plan_extraction
from tilebank.flows.settings.settings import Settings
from tilebank.imaging.breast import breast_mask, chest_wall_on_right
from tilebank.imaging.reader import read_mammogram
from tilebank.imaging.tiling import cut_tiles, plan_tiles, plan_view

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("ray_session")]


def rows_of(settings: Settings, *, kind: str = "instances") -> list[dict]:
    place = f"{settings.store}/{kind}--{settings.dataset.name}--{settings.encoder.name}.lance"
    return lance.dataset(place).to_table().to_pylist()


def begun(settings: Settings, store: Path, *, images: int) -> None:
    """A store that holds the first images of the study, as an extraction of these alone leaves it."""
    ids = [image.image_id for image in read_manifest(settings).images[:images]]
    copy_images(store, settings, ids)
    assert len([row for row in rows_of(settings) if row["kind"] == "view"]) == images


def test_every_image_is_stored_whole_and_equals_a_plain_loop(settings_for: MakeSettings) -> None:
    settings = settings_for()
    summary = extract(settings, limit=9)
    rows = rows_of(settings)
    assert (summary.images, summary.views, summary.tiles, summary.failures) == (9, 9, len(rows) - 9, {})
    stored = {row["instance_id"]: row for row in rows}
    assert len(stored) == len(rows), "every instance once"
    assert {row["fingerprint"] for row in rows} == {settings.fingerprint}

    encoder = load_encoder(settings.encoder)
    for image in read_manifest(settings).images[:9]:
        mammogram = read_mammogram(Path(image.uri).read_bytes(), reader=settings.reader, mask=settings.mask)
        mask = breast_mask(mammogram.pixels, settings.mask)
        plan = [plan_view(mask), *plan_tiles(mask, settings.tiling, size_px=settings.encoder.input_size_px)]
        flip = chest_wall_on_right(mask)
        visible = np.where(mask, mammogram.pixels, 0).astype(np.uint16)
        pixels = cut_tiles(visible, [tile.box for tile in plan], size_px=settings.encoder.input_size_px, flip=flip)
        vectors = encoder.encode(pixels, max_value=float(mammogram.max_value))
        for place, (tile, vector) in enumerate(zip(plan, vectors, strict=True)):
            row = stored.pop(f"{image.image_id}#{place}")
            assert row["kind"] == ("tile" if place else "view")
            assert (row["x"], row["y"], row["width"], row["height"]) == (
                tile.box.x,
                tile.box.y,
                tile.box.width,
                tile.box.height,
            )
            assert (row["flipped"], row["breast_id"], row["view"]) == (flip, image.breast_id, image.view)
            assert row["tissue_fraction"] == pytest.approx(tile.tissue_fraction)
            # Another number of threads sums in another order, which may move the last bit of a float16.
            np.testing.assert_allclose(np.asarray(row["vector"], np.float16), vector, rtol=2e-3, atol=1e-6)
    assert not stored, "nothing else is in the table"


def test_a_second_run_does_nothing_and_a_limited_one_goes_on(settings_for: MakeSettings, phantom_store: Path) -> None:
    settings = settings_for("extraction.commit_images=2")
    begun(settings, phantom_store, images=5)
    plan = plan_extraction(settings)
    assert (plan.done, len(plan.pending)) == (5, plan.images - 5)
    rest = extract(settings, limit=3)
    again = extract(settings, limit=0)
    assert (rest.images, again.images) == (3, 0)
    assert again.version == rest.version
    ids = [row["image_id"] for row in rows_of(settings) if row["kind"] == "view"]
    assert len(ids) == len(set(ids)) == 8
    assert extract(settings_for("extraction.commit_images=9"), limit=0).plan.done == 8


@pytest.mark.long
def test_another_setting_is_another_fingerprint_in_the_same_table(
    settings_for: MakeSettings, phantom_store: Path
) -> None:
    plain, overlapping = settings_for(), settings_for("tiling.overlap=0.5")
    begun(plain, phantom_store, images=2)
    assert plan_extraction(overlapping).done == 0
    summary = extract(overlapping, limit=2)
    assert summary.tiles > len([row for row in rows_of(plain) if row["fingerprint"] == plain.fingerprint]) - 2
    assert {row["fingerprint"] for row in rows_of(plain)} == {plain.fingerprint, overlapping.fingerprint}


def test_a_plan_writes_nothing(settings_for: MakeSettings, tmp_path: Path) -> None:
    plan = plan_extraction(settings_for())
    assert plan.images == len(plan.pending) == 120
    assert not (tmp_path / "home").exists()


@pytest.fixture
def mixed_folder(tmp_path: Path) -> Path:
    """Two good files, and one of each kind that cannot be used."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    window = {"WindowCenter": "2048", "WindowWidth": "4096"}
    left, right = half_disc(700, 500), half_disc(700, 500, value=1500, right=True)
    (folder / "left.dcm").write_bytes(make_dicom(left, AccessionNumber="E1", SOPInstanceUID="1.1", **window))
    (folder / "right.dcm").write_bytes(
        make_dicom(right, AccessionNumber="E1", SOPInstanceUID="1.2", ImageLaterality="R", **window)
    )
    noise = np.random.default_rng(0).integers(0, 4096, (700, 500), dtype=np.uint16)
    cut = make_dicom(noise, SOPInstanceUID="1.3", syntax=JPEG2000Lossless, **window)
    (folder / "truncated.dcm").write_bytes(cut[: len(cut) // 2])
    (folder / "text.dcm").write_text("this is a letter, not an image\n" * 20)
    (folder / "blank.dcm").write_bytes(make_dicom(np.full((700, 500), 7, np.uint16), SOPInstanceUID="1.4", **window))
    (folder / "empty.dcm").write_bytes(b"")
    return folder


def test_bad_files_are_failures_with_a_reason_and_the_rest_is_stored(
    settings_for: MakeSettings, mixed_folder: Path
) -> None:
    settings = settings_for(dataset="folder", root=str(mixed_folder))
    summary = extract(settings)
    assert {row["image_id"] for row in rows_of(settings)} == {"1.1", "1.2"}
    failures = {Path(row["uri"]).name: row for row in rows_of(settings, kind="failures")}
    assert {name: row["stage"] for name, row in failures.items()} == {
        "truncated.dcm": "decode",
        "text.dcm": "read",
        "blank.dcm": "filter",
        "empty.dcm": "read",
    }
    assert "cut off" in failures["truncated.dcm"]["reason"]
    assert "not a DICOM file" in failures["text.dcm"]["reason"]
    assert sum(summary.failures.values()) == 4
    assert "SECRET" not in str(rows_of(settings)) + str(failures), "no patient text is stored"

    again = extract(settings)
    assert (again.images, again.failures) == (0, {})
    assert len(rows_of(settings, kind="failures")) == 4


def test_retry_failed_tries_again_and_forgets_what_is_mended(settings_for: MakeSettings, mixed_folder: Path) -> None:
    settings = settings_for(dataset="folder", root=str(mixed_folder))
    extract(settings)
    window = {"WindowCenter": "2048", "WindowWidth": "4096"}
    (mixed_folder / "blank.dcm").write_bytes(
        make_dicom(half_disc(700, 500), AccessionNumber="E2", SOPInstanceUID="1.4", **window)
    )
    assert extract(settings).images == 0, "a failure is not tried again unasked"
    assert extract(settings, retry_failed=True).images == 1
    assert {row["image_id"] for row in rows_of(settings)} == {"1.1", "1.2", "1.4"}
    assert "1.4" not in {row["image_id"] for row in rows_of(settings, kind="failures")}


def test_a_wrong_root_or_store_stops_before_any_work(settings_for: MakeSettings, tmp_path: Path) -> None:
    (tmp_path / "hollow").mkdir()
    with pytest.raises(DatasetError, match="no DICOM file below"):
        extract(settings_for(dataset="folder", root=str(tmp_path / "hollow")))
    with pytest.raises(DatasetError, match="tilebank phantom"):
        extract(settings_for(root=str(tmp_path / "hollow")))
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="--store URI"):
        extract(settings_for(store=str(tmp_path / "file")))


def test_an_image_that_moved_under_its_manifest_is_a_failure(
    settings_for: MakeSettings, phantom_root: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(phantom_root, copy)
    settings = settings_for(root=str(copy))
    first, second, third = read_manifest(settings).images[:3]
    Path(first.uri).unlink()
    shutil.copy(third.uri, second.uri)
    summary = extract(settings, limit=3)
    assert summary.images == 1
    reasons = {row["image_id"]: row["reason"] for row in rows_of(settings, kind="failures")}
    assert "cannot be read" in reasons[first.image_id]
    assert "another image than the manifest says" in reasons[second.image_id]


def test_an_encoder_that_cannot_be_loaded_stops_the_run_with_one_sentence(
    settings_for: MakeSettings, tmp_path: Path
) -> None:
    (tmp_path / "weights").mkdir()
    settings = settings_for(f"encoder.checkpoint={tmp_path}/weights", "encoder.revision=null", encoder="dinov2-small")
    with pytest.raises(EncoderError, match="dinov2-small") as caught:
        extract(settings, limit=3)
    assert "\n" not in str(caught.value)
    assert rows_of(settings) == rows_of(settings, kind="failures") == []


def test_more_than_this_machine_has_is_refused_instead_of_waited_for(settings_for: MakeSettings) -> None:
    with pytest.raises(ConfigError, match="an encoder asks for 64 CPU cores and 8 GPUs, Ray has"):
        extract(settings_for("extraction.encoder_gpus=8", "extraction.encoder_cpus=64"), limit=1)


def test_encoders_that_leave_no_core_for_reading_are_refused_instead_of_waited_for(settings_for: MakeSettings) -> None:
    with pytest.raises(ConfigError, match="64 encoders of 1 CPU cores and 0 GPUs, and a reading task of 1 cores"):
        extract(settings_for("extraction.encoders=64"), limit=1)
