"""The stage that draws: one row is one exam, its tiles and their values in, its boxes and files out.

`explain_exams`: `exam` (a pickled ExamTiles) -> `explained` (a pickled ExplainedExam). It runs in a Ray worker, each
image is read in the process that can die; neither needs torch. Files travel as bytes: no worker needs a disk.
"""

import pickle
from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa

from tilebank.errors import ImageError
from tilebank.flows.engine.image_task import Expected, fetch
from tilebank.flows.engine.isolation import Limits, isolated
from tilebank.flows.explain.maps.image import MappedImage, MapRecipe, map_image
from tilebank.flows.explain.maps.pictures import draw_exam
from tilebank.flows.explain.records import ExamTiles, ExplainedExam, ExplainedImage
from tilebank.flows.reporting.atomic_files import file_name
from tilebank.imaging.dicom.presentation_state import MarkAuthor, mark_image
from tilebank.terms import ManifestRow, ScoredBox

CARRIED = ("shape", "boxes", "peak", "spacing_mm", "crop", "published")  # from an image's map to what is known of it


def explain_exams(batch: pa.Table, *, recipe: MapRecipe, limits: Limits) -> pa.Table:
    """exam -> explained."""
    done = [explain_exam(pickle.loads(exam), recipe=recipe, limits=limits) for exam in batch["exam"].to_pylist()]
    return pa.table({"explained": pa.array([pickle.dumps(one) for one in done], type=pa.large_binary())})


def explain_exam(exam: ExamTiles, *, recipe: MapRecipe, limits: Limits) -> ExplainedExam:
    """Map every image that has tiles; draw what is asked for."""
    images: list[ExplainedImage] = []
    mapped: dict[str, MappedImage] = {}
    marks: dict[str, bytes] = {}
    for row in exam.images:
        known = ExplainedImage(row.image_id, row.breast_id, row.view)
        try:
            mapped[row.image_id] = one = _map(row, exam, recipe=recipe, limits=limits)
        except ImageError as error:
            images.append(replace(known, failure=str(error)))
            continue
        known = replace(known, **{name: getattr(one, name) for name in CARRIED})
        try:
            marks |= _marks(row, one.boxes[: recipe.boxes_drawn], exam.drawing.marks, limits=limits)
        except ImageError as error:
            known = replace(known, no_marks=str(error))
        images.append(known)
    files = draw_exam(exam, mapped, shown=recipe.boxes_drawn, step_px=recipe.step_px)
    return ExplainedExam(exam.exam_id, tuple(images), files | marks)


def _marks(
    row: ManifestRow, boxes: Sequence[ScoredBox], author: MarkAuthor | None, *, limits: Limits
) -> dict[str, bytes]:
    """The image's boxes as a DICOM object, by the name of its file; nothing where there is none, or nobody asks."""
    if author is None or not boxes:
        return {}
    content = isolated(limits).call(mark_image, fetch(row.uri), boxes, author=author)
    return {f"dicom/{file_name(row.image_id)}.dcm": content}


def _map(row: ManifestRow, exam: ExamTiles, *, recipe: MapRecipe, limits: Limits) -> MappedImage:
    if row.image_id not in exam.tiles:
        reason = exam.no_tiles.get(row.image_id, "no overlapped tile of it is stored")
        raise ImageError("tile", reason, "NoTile")
    return isolated(limits).call(
        map_image,
        fetch(row.uri),
        Expected(row.laterality.value, row.view, row.sop_instance_uid),
        exam.tiles[row.image_id],
        recipe=recipe,
        colours=next(one.colours for one in exam.breasts if one.breast_id == row.breast_id),
        annotated=[finding.box for finding in exam.findings.get(row.image_id, ())],
    )
