"""Draw the files of one exam: a picture a breast, a page, the maps as arrays."""

from collections.abc import Mapping
from io import BytesIO

import numpy as np

from tilebank.flows.explain.maps.image import MappedImage
from tilebank.flows.explain.maps.slider_page import render_exam
from tilebank.flows.explain.records import BreastResult, ExamTiles
from tilebank.flows.reporting.atomic_files import file_name
from tilebank.flows.reporting.html import RESEARCH
from tilebank.imaging.maps.picture import ExplainedBreast, ExplainedView, draw_breast

CONTRIBUTIONS = "what the logit loses without them"


def draw_exam(exam: ExamTiles, mapped: Mapping[str, MappedImage], *, shown: int, step_px: int) -> dict[str, bytes]:
    """Name below the output folder -> content. mapped: by image id; shown: boxes an image; step_px: of kept maps."""
    files: dict[str, bytes] = {}
    if exam.drawing.pictures and (breasts := explained_breasts(exam, mapped, shown=shown)):
        for breast in breasts:
            files[f"figures/{file_name(breast.breast_id)}.png"] = draw_breast(breast, notice=RESEARCH)
        page = render_exam(exam.exam_id, breasts, head=exam.head)
        files[f"pages/{file_name(exam.exam_id)}.html"] = page.encode()
    if exam.drawing.maps:
        for image_id, one in mapped.items():
            files[f"maps/{file_name(image_id)}.npz"] = _arrays(one, step_px=step_px)
    return files


def explained_breasts(exam: ExamTiles, mapped: Mapping[str, MappedImage], *, shown: int) -> list[ExplainedBreast]:
    """The exam's breasts that have a map, as pictures take them."""
    found = []
    for breast in exam.breasts:
        views = [
            ExplainedView(
                image_id=row.image_id,
                view=row.view,
                layers=mapped[row.image_id].layers,
                suggested=mapped[row.image_id].boxes[:shown],
                annotated=exam.findings.get(row.image_id, ()),
            )
            for row in sorted(exam.images, key=lambda row: (row.view, row.image_id))
            if row.breast_id == breast.breast_id and row.image_id in mapped
        ]
        if views:
            found.append(_explained(breast, views, exam))
    return found


def _explained(breast: BreastResult, views: list[ExplainedView], exam: ExamTiles) -> ExplainedBreast:
    one = len(breast.scores) == 1
    names = ("score",) if one else tuple(f"score_{place}" for place in range(len(breast.scores)))
    return ExplainedBreast(
        breast_id=breast.breast_id,
        laterality=breast.laterality,
        scores=dict(zip(names, breast.scores, strict=True)),
        views=views,
        threshold=exam.threshold,
        contributions={"views": breast.of_views[0], "tiles": breast.of_tiles[0]} if one else {},
        contributions_are=CONTRIBUTIONS,
        colours_are=exam.colours_are,
    )


def _arrays(one: MappedImage, *, step_px: int) -> bytes:
    """An .npz: `raw` (scales, r, c), `unit` (r, c) between 0 and 1, and how they lie on the source."""
    content = BytesIO()
    shape = np.asarray(one.shape)
    np.savez_compressed(content, raw=np.stack(one.raw), unit=one.unit, step_px=np.asarray(step_px), shape=shape)
    return content.getvalue()
