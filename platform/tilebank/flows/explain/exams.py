"""Exams through the drawing stage, some at a time: what the head says of each goes in, maps and files come out."""

import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice

from tilebank.flows.engine.pipelines import limits_of, map_rows, recipe_of
from tilebank.flows.explain.maps.image import MapRecipe
from tilebank.flows.explain.maps.stage import explain_exams
from tilebank.flows.explain.records import BreastSaid, Drawing, ExamTiles, ExplainedExam
from tilebank.flows.explain.rows import LookedAt, Sources, look_at_exams
from tilebank.flows.predict.rows import Scoring
from tilebank.flows.reporting.progress import progress_bar
from tilebank.flows.settings.settings import Settings
from tilebank.imaging.dicom.presentation_state import MarkAuthor
from tilebank.store.reader import StoredBreast
from tilebank.terms import Finding, Laterality, ManifestRow

EXAMS_A_RUN = 128  # that one pipeline of Ray takes: what waits for it stays small


@dataclass(frozen=True)
class Wish:
    """What is drawn of whom.

    drawn_at_most: exams that get pictures; marks: who signs boxes as DICOM objects; maps: arrays are kept; head: what
    it is called.
    """

    breasts: Sequence[StoredBreast]
    images: Sequence[ManifestRow]
    findings: Mapping[str, tuple[Finding, ...]]
    drawn_at_most: int
    marks: MarkAuthor | None
    maps: bool
    head: str


def explained_exams(
    settings: Settings, sources: Sources, scoring: Scoring, wish: Wish
) -> Iterator[tuple[list[LookedAt], ExplainedExam]]:
    """Each exam as it comes out of the stage, with what the head says of it; in any order."""
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
    for row in wish.images:
        images.setdefault(row.exam_id, []).append(row)
    looked = look_at_exams(sources, wish.breasts, scoring, config)
    exams = len({breast.exam_id for breast in wish.breasts})
    with progress_bar("explain", unit="exam", total=exams) as bar:
        while some := list(islice(looked, EXAMS_A_RUN)):
            waiting = {one[0].score.exam_id: one for one in some}
            rows = []
            for place, (exam_id, one) in enumerate(waiting.items(), start=bar.n):
                drawing = Drawing(pictures=place < wish.drawn_at_most, marks=wish.marks, maps=wish.maps)
                exam = _exam_tiles(one, images.get(exam_id, []), sources, wish, drawing, threshold=scoring.threshold)
                rows.append(pickle.dumps(exam))
            for drawn in map_rows(settings, rows, stage, name="exam"):
                explained: ExplainedExam = pickle.loads(drawn["explained"])
                yield waiting[explained.exam_id], explained
                bar.update()


def _exam_tiles(
    looked: Sequence[LookedAt],
    images: Sequence[ManifestRow],
    sources: Sources,
    wish: Wish,
    drawing: Drawing,
    *,
    threshold: float | None,
) -> ExamTiles:
    failures = {image_id: reason for scale in sources.scales for image_id, reason in scale.failures.items()}
    ids = [row.image_id for row in images]
    return ExamTiles(
        exam_id=looked[0].score.exam_id,
        breasts=[_said(one) for one in looked],
        images=images,
        tiles={image_id: tiles for one in looked for image_id, tiles in one.images.items()},
        no_tiles={image_id: failures[image_id] for image_id in ids if image_id in failures},
        findings={image_id: wish.findings.get(image_id, ()) for image_id in ids},
        drawing=drawing,
        threshold=threshold,
        head=wish.head,
    )


def _said(one: LookedAt) -> BreastSaid:
    row = one.score
    return BreastSaid(
        breast_id=row.breast_id,
        laterality=Laterality(row.laterality),
        scores=row.scores,
        logits=one.logits,
        of_views=one.of_views,
        of_tiles=one.of_tiles,
        at_or_above=row.at_or_above,
        flag=row.flag,
    )
