"""Run exams through the drawing stage, some at a time: scores and tile values go in, maps and files come out."""

import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice

from tilebank.flows.engine.pipelines import limits_of, map_rows, recipe_of
from tilebank.flows.explain.maps.colours import LEGENDS, colour_scale
from tilebank.flows.explain.maps.image import MapRecipe
from tilebank.flows.explain.maps.stage import explain_exams
from tilebank.flows.explain.records import BreastResult, Drawing, ExamTiles, ExplainedExam
from tilebank.flows.explain.rows import BreastMaps, Sources, map_exams
from tilebank.flows.predict.rows import Scoring
from tilebank.flows.reporting.progress import progress_bar
from tilebank.flows.settings.settings import Settings
from tilebank.imaging.dicom.presentation_state import MarkAuthor
from tilebank.store.records import StoredBreast
from tilebank.terms import Finding, Laterality, ManifestRow

EXAMS_A_RUN = 128  # in one Ray pipeline, so that little waits in memory


@dataclass(frozen=True)
class MapRequest:
    """Which breasts are mapped, and what is drawn of them.

    drawn_at_most: exams that get pictures; marks: who signs boxes as DICOM objects; maps: arrays are kept; head: what
    it is called; shown: what is shown of a tile (`ExplainConfig.map`).
    """

    breasts: Sequence[StoredBreast]
    images: Sequence[ManifestRow]
    findings: Mapping[str, tuple[Finding, ...]]
    drawn_at_most: int
    marks: MarkAuthor | None
    maps: bool
    head: str
    shown: str


def explained_exams(
    settings: Settings, sources: Sources, scoring: Scoring, asked: MapRequest
) -> Iterator[tuple[list[BreastMaps], ExplainedExam]]:
    """Each exam as it comes out of the stage, with its scores and tile values; in any order."""
    config = settings.explain
    recipe = MapRecipe(
        image=recipe_of(settings),
        boxes=config.boxes,
        boxes_drawn=config.boxes_drawn,
        picture_px=config.picture_px,
        step_px=config.map_step_px,
    )
    stage = partial(explain_exams, recipe=recipe, limits=limits_of(settings))
    images: dict[str, list[ManifestRow]] = {}
    for row in asked.images:
        images.setdefault(row.exam_id, []).append(row)
    breasts_maps = map_exams(sources, asked.breasts, scoring, config)
    exams = len({breast.exam_id for breast in asked.breasts})
    with progress_bar("explain", unit="exam", total=exams) as bar:
        while some := list(islice(breasts_maps, EXAMS_A_RUN)):
            waiting = {one[0].score.exam_id: one for one in some}
            rows = []
            for place, (exam_id, one) in enumerate(waiting.items(), start=bar.n):
                drawing = Drawing(pictures=place < asked.drawn_at_most, marks=asked.marks, maps=asked.maps)
                exam = _exam_tiles(one, images.get(exam_id, []), sources, asked, drawing, threshold=scoring.threshold)
                rows.append(pickle.dumps(exam))
            for drawn in map_rows(settings, rows, stage, name="exam"):
                explained: ExplainedExam = pickle.loads(drawn["explained"])
                yield waiting[explained.exam_id], explained
                bar.update()


def _exam_tiles(
    breasts_maps: Sequence[BreastMaps],
    images: Sequence[ManifestRow],
    sources: Sources,
    asked: MapRequest,
    drawing: Drawing,
    *,
    threshold: float | None,
) -> ExamTiles:
    failures = {image_id: reason for scale in sources.scales for image_id, reason in scale.failures.items()}
    ids = [row.image_id for row in images]
    return ExamTiles(
        exam_id=breasts_maps[0].score.exam_id,
        breasts=[_result(one, asked, threshold=threshold) for one in breasts_maps],
        images=images,
        tiles={image_id: tiles for one in breasts_maps for image_id, tiles in one.images.items()},
        no_tiles={image_id: failures[image_id] for image_id in ids if image_id in failures},
        findings={image_id: asked.findings.get(image_id, ()) for image_id in ids},
        drawing=drawing,
        threshold=threshold,
        head=asked.head,
        colours_are=LEGENDS[asked.shown],
    )


def _result(one: BreastMaps, asked: MapRequest, *, threshold: float | None) -> BreastResult:
    row = one.score
    return BreastResult(
        breast_id=row.breast_id,
        laterality=Laterality(row.laterality),
        scores=row.scores,
        logits=one.logits,
        of_views=one.of_views,
        of_tiles=one.of_tiles,
        at_or_above=row.at_or_above,
        flag=row.flag,
        colours=colour_scale(asked.shown, row.scores, threshold=threshold),
    )
