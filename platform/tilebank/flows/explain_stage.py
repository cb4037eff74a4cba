"""The stage that draws: one row is one exam, its tiles and their values in, its boxes and files out.

`explain_exams`: `exam` (a pickled ExamTiles) -> `explained` (a pickled ExplainedExam). It runs in a Ray worker, each
image is read in the process that can die; neither needs torch. Files travel as bytes: no worker needs a disk.
"""

import pickle

import pyarrow as pa

from tilebank.errors import ImageError
from tilebank.flows.explain_pictures import draw_exam
from tilebank.flows.explained import ExamTiles, ExplainedExam, ExplainedImage
from tilebank.flows.isolation import Limits, isolated
from tilebank.flows.map_image import MappedImage, MapRecipe, map_image
from tilebank.flows.one_image import Expected, fetch
from tilebank.terms import ManifestRow


def explain_exams(batch: pa.Table, *, recipe: MapRecipe, limits: Limits) -> pa.Table:
    """exam -> explained."""
    done = [explain_exam(pickle.loads(exam), recipe=recipe, limits=limits) for exam in batch["exam"].to_pylist()]
    return pa.table({"explained": pa.array([pickle.dumps(one) for one in done], type=pa.large_binary())})


def explain_exam(exam: ExamTiles, *, recipe: MapRecipe, limits: Limits) -> ExplainedExam:
    """Map every image that has tiles; draw what is asked for."""
    images, mapped = [], {}
    for row in exam.images:
        try:
            mapped[row.image_id] = one = _map(row, exam, recipe=recipe, limits=limits)
            said = {name: getattr(one, name) for name in ("shape", "boxes", "peak", "spacing_mm")}
            images.append(ExplainedImage(row.image_id, row.breast_id, row.view, **said))
        except ImageError as error:
            images.append(ExplainedImage(row.image_id, row.breast_id, row.view, failure=str(error)))
    files = draw_exam(exam, mapped, shown=recipe.boxes_drawn, step_px=recipe.step_px)
    return ExplainedExam(exam.exam_id, tuple(images), files)


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
        annotated=[finding.box for finding in exam.findings.get(row.image_id, ())],
    )
