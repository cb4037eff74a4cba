"""The drawing stage without Ray: maps lie where their tiles do, a broken file costs itself alone."""

from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from tests.conftest import half_disc, make_dicom

from tilebank.datasets.intake import IntakeConfig
from tilebank.evaluation.detection.map_boxes import BoxConfig
from tilebank.flows.engine.image_task import ImageRecipe
from tilebank.flows.engine.isolation import Limits
from tilebank.flows.explain.maps.image import MapRecipe, TileValues
from tilebank.flows.explain.maps.stage import explain_exam
from tilebank.flows.explain.records import BreastResult, Drawing, ExamTiles
from tilebank.imaging.breast import MaskConfig
from tilebank.imaging.dicom.presentation_state import MarkAuthor
from tilebank.imaging.intensity import ReaderConfig
from tilebank.imaging.maps.attention_map import MapConfig
from tilebank.imaging.maps.layers import ColourScale
from tilebank.imaging.tiling import TilingConfig, plan_tiles
from tilebank.terms import Finding, Laterality, ManifestRow, TileBox

SHAPE, TILE_PX = (700, 500), 128
TAGS = {"WindowCenter": "2048", "WindowWidth": "4096", "SeriesInstanceUID": "2.25.3"}
RECIPE = MapRecipe(
    ImageRecipe(ReaderConfig(), MaskConfig(), TilingConfig(), TILE_PX, IntakeConfig()),
    BoxConfig(),
    boxes_drawn=2,
    picture_px=300,
    step_px=10,
)


def image_row(folder: Path, side: str) -> ManifestRow:
    path = folder / f"{side}.dcm"
    disc = half_disc(*SHAPE, right=side == "R")
    path.write_bytes(make_dicom(disc, ImageLaterality=side, SOPInstanceUID=f"2.25.{ord(side)}", **TAGS))
    return ManifestRow("d", "P1", "E1", f"E1_{side}", f"2.25.{ord(side)}", Laterality(side), "CC", str(path))


def tiles_around(x: int, y: int, *, right: bool) -> TileValues:
    """Tiles of the breast, overlapping by 75 %; their value falls with the distance of their middle from (x, y)."""
    breast = half_disc(*SHAPE, right=right) > 1000
    plan = plan_tiles(breast, TilingConfig(overlap=0.75), size_px=TILE_PX)
    boxes = np.asarray([(t.box.x, t.box.y, t.box.width, t.box.height) for t in plan], np.int32)
    middles = boxes[:, :2] + TILE_PX / 2
    values = np.exp(-((middles - (x, y)) ** 2).sum(axis=1) / (2 * 60.0**2))
    return TileValues(boxes, values / values.sum(), 0.5 / (values / values.sum()).max(), MapConfig(16))


def exam_of(*rows: ManifestRow, **changes: object) -> ExamTiles:
    places = {"L": (120, 400), "R": (350, 250)}
    said = [
        BreastResult(
            row.breast_id,
            row.laterality,
            (0.5,),
            (0.0,),
            (0.1,),
            (-0.1,),
            at_or_above=None,
            flag="",
            colours=ColourScale(0.0, 1.0),
        )
        for row in rows
    ]
    tiles = {
        row.image_id: (tiles_around(*places[row.laterality.value], right=row.laterality is Laterality.R),)
        for row in rows
    }
    exam = ExamTiles(
        "E1",
        said,
        rows,
        tiles,
        {},
        {},
        Drawing(pictures=True, marks=None, maps=True),
        threshold=0.3,
        head="a head",
        colours_are="attention",
    )
    return replace(exam, **changes)


def test_boxes_by_the_published_recipe_are_made_where_there_are_annotated_ones(tmp_path: Path) -> None:
    left, right = image_row(tmp_path, "L"), image_row(tmp_path, "R")
    findings = {left.image_id: (Finding(left.image_id, ("mass",), TileBox(100, 380, 40, 40)),), right.image_id: ()}
    with_box, without = explain_exam(exam_of(left, right, findings=findings), recipe=RECIPE, limits=Limits()).images
    assert without.published == ()
    crop, (x, y) = with_box.crop, (120, 400)
    assert crop is not None
    on_grid = ((x - crop.x) * 912 / crop.width, (y - crop.y) * 1520 / crop.height)
    box = with_box.published[0].box
    assert box.x <= on_grid[0] < box.x + box.width
    assert box.y <= on_grid[1] < box.y + box.height


def test_the_highest_place_and_the_first_box_lie_where_the_tiles_say_on_both_sides(tmp_path: Path) -> None:
    exam = exam_of(image_row(tmp_path, "L"), image_row(tmp_path, "R"))
    left, right = explain_exam(exam, recipe=RECIPE, limits=Limits()).images
    for image, (x, y) in ((left, (120, 400)), (right, (350, 250))):
        assert not image.failure
        assert image.shape == SHAPE
        assert image.peak == pytest.approx((x, y), abs=TILE_PX // 4)
        box = image.boxes[0].box
        assert box.x <= x < box.x + box.width
        assert box.y <= y < box.y + box.height
        assert 0.2 < image.boxes[0].score <= 0.5, "the breast's score times the map's height"


@pytest.mark.parametrize(("shrinkage", "stays"), [(0.0, False), (0.5, True)])
def test_shrinkage_keeps_a_peak_near_the_chest_wall_in_its_place(tmp_path: Path, shrinkage: float, stays: bool) -> None:
    row, place = image_row(tmp_path, "L"), (80, 350)
    tiles = tiles_around(*place, right=False)
    beyond = place - tiles.boxes[:, :2]  # the place, from each tile's corner
    holds = ((beyond >= 0) & (beyond < TILE_PX)).all(axis=1).astype(float)
    drawn = replace(tiles, values=holds, unit=0.5, config=MapConfig(16, shrinkage))
    exam = exam_of(row, tiles={row.image_id: (drawn,)})
    (image,) = explain_exam(exam, recipe=RECIPE, limits=Limits()).images
    assert image.peak is not None
    assert (abs(image.peak[0] - place[0]) <= TILE_PX // 4) == stays
    assert abs(image.peak[1] - place[1]) <= TILE_PX // 4


def test_a_broken_file_costs_its_own_map_alone(tmp_path: Path) -> None:
    rows = image_row(tmp_path, "L"), image_row(tmp_path, "R")
    Path(rows[0].uri).write_bytes(b"no image")
    done = explain_exam(exam_of(*rows), recipe=RECIPE, limits=Limits())
    assert "not a DICOM file" in done.images[0].failure
    assert done.images[1].boxes
    assert {name.split("/")[0] for name in done.files} == {"figures", "pages", "maps"}
    assert [name for name in done.files if name.startswith("figures")] == ["figures/E1_R.png"]


def test_an_image_without_tiles_says_why_where_it_is_known(tmp_path: Path) -> None:
    row = image_row(tmp_path, "L")
    exam = exam_of(row, tiles={}, no_tiles={row.image_id: "too dark to see"})
    done = explain_exam(exam, recipe=RECIPE, limits=Limits())
    assert "too dark to see" in done.images[0].failure
    assert done.files == {}


def test_tiles_of_another_image_cost_the_map_and_not_the_run(tmp_path: Path) -> None:
    row = image_row(tmp_path, "L")
    outside = TileValues(np.asarray([[450, 0, 40, 40]], np.int32), np.ones(1), 1.0, MapConfig())
    done = explain_exam(exam_of(row, tiles={row.image_id: (outside,)}), recipe=RECIPE, limits=Limits())
    assert "its stored tiles do not lie on it" in done.images[0].failure


def test_kept_maps_are_means_over_blocks_of_the_source(tmp_path: Path) -> None:
    row = image_row(tmp_path, "L")
    done = explain_exam(exam_of(row), recipe=RECIPE, limits=Limits())
    kept = np.load(BytesIO(done.files[f"maps/{row.image_id}.npz"]))
    assert kept["raw"].shape == (1, 70, 50)
    assert kept["unit"].shape == (70, 50)
    top = np.unravel_index(kept["unit"].argmax(), kept["unit"].shape)
    assert (top[1] * 10, top[0] * 10) == pytest.approx((120, 400), abs=TILE_PX // 4)
    assert kept["raw"][0, 0, -1] == 0, "background"
    assert tuple(kept["shape"]) == SHAPE


def test_boxes_become_a_presentation_state_where_somebody_signs(tmp_path: Path) -> None:
    row = image_row(tmp_path, "L")
    author = MarkAuthor("a-head--1", "abc", datetime(2026, 1, 2, tzinfo=UTC))
    exam = exam_of(row, drawing=Drawing(pictures=False, marks=author, maps=False))
    done = explain_exam(exam, recipe=RECIPE, limits=Limits())
    assert done.images[0].no_marks == ""
    assert list(done.files) == [f"dicom/{row.image_id}.dcm"]
    state = pydicom.dcmread(BytesIO(done.files[f"dicom/{row.image_id}.dcm"]))
    assert state.Modality == "PR"
    assert len(state.GraphicAnnotationSequence[0].GraphicObjectSequence) == min(2, len(done.images[0].boxes))


def test_annotated_boxes_are_drawn_and_named_on_the_page(tmp_path: Path) -> None:
    row = image_row(tmp_path, "L")
    finding = Finding(row.image_id, ("mass",), TileBox(100, 380, 40, 40))
    page = explain_exam(exam_of(row, findings={row.image_id: (finding,)}), recipe=RECIPE, limits=Limits()).files
    assert "mass" in page["pages/E1.html"].decode()
    assert "mass" not in explain_exam(exam_of(row), recipe=RECIPE, limits=Limits()).files["pages/E1.html"].decode()
