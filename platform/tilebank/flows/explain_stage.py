"""The stage that draws: one row is one exam, its tiles and their values in, its boxes and files out.

`explain_exams`: `exam` (a pickled ExamTiles) -> `explained` (a pickled ExplainedExam). It runs in a Ray worker, each
image is read in the process that can die; neither needs torch. Files travel as bytes: no worker needs a disk.
"""

import pickle
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from tilebank.errors import ImageError
from tilebank.flows.isolation import Limits, isolated
from tilebank.flows.map_image import MappedImage, MapRecipe, TileValues, map_image
from tilebank.flows.one_image import Expected, fetch
from tilebank.terms import Finding, ManifestRow, ScoredBox


@dataclass(frozen=True)
class Drawing:
    """What is made of an exam beside boxes. dicom: marks as DICOM objects; maps: arrays to keep."""

    pictures: bool
    dicom: bool
    maps: bool


@dataclass(frozen=True)
class BreastSaid:
    """What the head says of one breast, one number an answer."""

    breast_id: str
    laterality: str
    scores: tuple[float, ...]
    logits: tuple[float, ...]
    of_views: tuple[float, ...]
    of_tiles: tuple[float, ...]
    at_or_above: bool | None
    flag: str


@dataclass(frozen=True, eq=False)
class ExamTiles:
    """One exam on its way to be drawn. tiles: by image id, one a scale; findings: annotated boxes by image id."""

    exam_id: str
    breasts: Sequence[BreastSaid]
    images: Sequence[ManifestRow]
    tiles: dict[str, tuple[TileValues, ...]]
    findings: dict[str, tuple[Finding, ...]]
    drawing: Drawing


@dataclass(frozen=True)
class ExplainedImage:
    """What is known of one image's map: its boxes in source pixels, its highest place; or why there is none."""

    image_id: str
    breast_id: str
    view: str
    shape: tuple[int, int] = (0, 0)
    boxes: tuple[ScoredBox, ...] = ()
    peak: tuple[int, int] | None = None
    spacing_mm: tuple[float, float] | None = None
    failure: str = ""


@dataclass(frozen=True, eq=False)
class ExplainedExam:
    """One exam's images, and its files by name below the output folder."""

    exam_id: str
    images: tuple[ExplainedImage, ...]
    files: dict[str, bytes]


def explain_exams(batch: pa.Table, *, recipe: MapRecipe, limits: Limits) -> pa.Table:
    """exam -> explained."""
    done = [explain_exam(pickle.loads(exam), recipe=recipe, limits=limits) for exam in batch["exam"].to_pylist()]
    return pa.table({"explained": pa.array([pickle.dumps(one) for one in done], type=pa.large_binary())})


def explain_exam(exam: ExamTiles, *, recipe: MapRecipe, limits: Limits) -> ExplainedExam:
    """Map every image that has tiles; draw what is asked for."""
    images, mapped = [], {}
    for row in exam.images:
        try:
            if row.image_id not in exam.tiles:
                raise ImageError("tile", "no overlapped tile of it could be stored", "NoTile")
            expected = Expected(row.laterality.value, row.view, row.sop_instance_uid)
            call = isolated(limits).call
            mapped[row.image_id] = call(map_image, fetch(row.uri), expected, exam.tiles[row.image_id], recipe=recipe)
            images.append(_explained(row, mapped[row.image_id]))
        except ImageError as error:
            images.append(ExplainedImage(row.image_id, row.breast_id, row.view, failure=str(error)))
    return ExplainedExam(exam.exam_id, tuple(images), {})


def _explained(row: ManifestRow, mapped: MappedImage) -> ExplainedImage:
    said = {name: getattr(mapped, name) for name in ("shape", "boxes", "peak", "spacing_mm")}
    return ExplainedImage(row.image_id, row.breast_id, row.view, **said)
