"""Where a head looks: maps, boxes and pictures of stored exams or of a folder, and whether the maps can be believed.

One of the doors to the test split. Scores are those of predict.py, of the tiles that the head was fitted on; maps are
of overlapped tiles, extracted as any others are. Nothing of a study is held but its boxes and curves.
"""

import pickle
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

from tqdm import tqdm

from tilebank.datasets.study import Manifest
from tilebank.errors import ConfigError, DatasetError, HeadError
from tilebank.flows.annotations import Annotations, read_annotations
from tilebank.flows.chosen_head import ChosenHead
from tilebank.flows.exams import assert_one_source, pick_breasts, splits_known, vectors_of
from tilebank.flows.explain_figures import FigureTally
from tilebank.flows.explain_files import assert_folder, open_files
from tilebank.flows.explain_page import render_explanation
from tilebank.flows.explain_record import open_record, record_explanation
from tilebank.flows.explain_rows import LookedAt, Sources, look_at_exams
from tilebank.flows.explain_scales import assert_mappable, open_scales
from tilebank.flows.explain_stage import explain_exams
from tilebank.flows.explain_summary import ExplainSummary, ExplainTally, ScaleCost
from tilebank.flows.explained import BreastSaid, Drawing, ExamTiles, ExplainedExam
from tilebank.flows.finished import finished
from tilebank.flows.map_image import MapRecipe
from tilebank.flows.predict_rows import Scoring
from tilebank.flows.settings import Settings
from tilebank.flows.stream import limits_of, map_rows, read_manifest, recipe_of
from tilebank.flows.study import open_reader
from tilebank.mil.serving import score_columns
from tilebank.mil.tile_attention import why_no_attention
from tilebank.store.reader import StoredBreast
from tilebank.terms import Laterality, ManifestRow

REPORT = "explain.html"
EXAMS_A_RUN = 128  # that one pipeline of Ray takes: what waits for it stays small


@dataclass(frozen=True)
class ExplainRequest:
    """What is explained and where it is written.

    from_folder: the dataset's root is read now, nothing is kept in the store; exams, split: of those that are stored,
    none for all; dicom: boxes as DICOM objects, which name the patient as the images do; maps: arrays are kept; boxes:
    the dataset must have annotated ones.
    """

    out: Path
    from_folder: bool = False
    exams: tuple[str, ...] = ()
    split: str = ""
    dicom: bool = False
    maps: bool = False
    boxes: bool = False

    @property
    def is_of_a_study(self) -> bool:
        """Whether figures are recorded: those of a dataset or a split are, single exams and folders are not."""
        return not self.from_folder and not self.exams


def explain(chosen: ChosenHead, request: ExplainRequest) -> ExplainSummary:
    """Map where the head looks and write the files below `request.out`.

    Raises TilebankError, before any work where it can be known by then, for a head without attention, exams that are
    not there, images that cannot be found, and places that cannot be written.
    """
    began = time.perf_counter()
    _assert_can(chosen, request)
    tracker = open_record(chosen.settings, task=chosen.card.task) if request.is_of_a_study else None
    manifest = read_manifest(chosen.settings)
    with vectors_of(
        chosen, from_folder=request.from_folder, manifest=manifest, kept_in="tilebank-explain-"
    ) as settings:
        reader = open_reader(settings)
        splits = splits_known(chosen, settings)
        breasts = _wanted(reader.read_breasts(), request, splits=splits)
        wanted = _images_of(manifest, breasts, settings)
        sources = Sources(reader, open_scales(settings, wanted))
        scoring = Scoring(chosen.head, chosen.card.threshold, splits=splits, top_tiles=0)
        truth = read_annotations(settings, breasts, task=chosen.card.task, wanted=request.boxes)
        tally, measured = ExplainTally(), FigureTally(chosen.card.task, truth)
        with open_files(request.out, columns=score_columns(chosen.head.outputs)) as files:
            exams = _explained(settings, sources, breasts, scoring, images=wanted.images, request=request, truth=truth)
            for looked, exam in exams:
                files.add(looked, exam)
                tally.add(looked, exam)
                measured.add(looked, exam)
    figures = measured.measure(settings.evaluation)
    summary = ExplainSummary(
        head=chosen.name,
        card=chosen.card,
        source=settings.dataset.root if request.from_folder else f"{settings.dataset.name} in {settings.store}",
        split=request.split,
        config=settings.explain,
        scales=tuple(ScaleCost.of(scale) for scale in sources.scales),
        tally=tally,
        figures=figures,
        run_id="",
        out=str(request.out),
        wall_s=time.perf_counter() - began,
    )
    drawn = figures.drawn(ordered_by=settings.explain.map)
    if tracker:
        summary = replace(summary, run_id=record_explanation(tracker, summary, settings, chosen, drawn))
    with finished(request.out / REPORT) as report:
        report.write(render_explanation(summary, drawn, exams=tally.drawn))
    return summary


def _assert_can(chosen: ChosenHead, request: ExplainRequest) -> None:
    assert_one_source(request.exams, from_folder=request.from_folder)
    if request.from_folder and request.split:
        raise ConfigError("--split picks stored exams; a folder has no splits")
    assert_mappable(chosen.settings)
    if chosen.settings.explain.map == "attention" and (why := why_no_attention(chosen.head)):
        raise HeadError(f"{why}, or ask for what each tile says by itself, with --map evidence")
    assert_folder(request.out)


def _wanted(breasts: Sequence[StoredBreast], request: ExplainRequest, *, splits: dict[str, str]) -> list[StoredBreast]:
    chosen = pick_breasts(breasts, request.exams)
    if not request.split:
        return chosen
    if left := [breast for breast in chosen if splits.get(breast.patient_id) == request.split]:
        return left
    raise DatasetError(
        f"no stored breast is in the split {request.split!r} of the search that made this head; leave --split out"
    )


def _images_of(manifest: Manifest, breasts: Sequence[StoredBreast], settings: Settings) -> Manifest:
    """The images of these breasts. Raises DatasetError where there are none."""
    ids = {breast.breast_id for breast in breasts}
    images = tuple(row for row in manifest.images if row.breast_id in ids)
    if not images:
        raise DatasetError(
            f"the vectors of {len(ids)} breasts are stored, but none of their images lies below"
            f" {settings.dataset.root}; a map is laid on the image: name where they are with --root"
        )
    return Manifest(images=images, failures=())


def _explained(
    settings: Settings,
    sources: Sources,
    breasts: Sequence[StoredBreast],
    scoring: Scoring,
    *,
    images: Sequence[ManifestRow],
    request: ExplainRequest,
    truth: Annotations,
) -> Iterator[tuple[list[LookedAt], ExplainedExam]]:
    """Exams as they come out of the drawing stage, each with what the head says of it."""
    config = settings.explain
    recipe = MapRecipe(recipe_of(settings), config.boxes, config.boxes_drawn, config.picture_px, config.map_step_px)
    stage = partial(explain_exams, recipe=recipe, limits=limits_of(settings))
    of_exam: dict[str, list[ManifestRow]] = {}
    for row in images:
        of_exam.setdefault(row.exam_id, []).append(row)
    drawn_at_most = config.exams_drawn if request.is_of_a_study else len(of_exam)
    looked = look_at_exams(sources, breasts, scoring, config)
    with tqdm(
        total=len({breast.exam_id for breast in breasts}), unit="exam", desc="explain", dynamic_ncols=True
    ) as bar:
        while some := list(islice(looked, EXAMS_A_RUN)):
            waiting = {one[0].score.exam_id: one for one in some}
            rows = []
            for place, (exam_id, one) in enumerate(waiting.items(), start=bar.n):
                drawing = Drawing(pictures=place < drawn_at_most, dicom=request.dicom, maps=request.maps)
                exam = _exam_tiles(exam_id, one, of_exam.get(exam_id, []), truth, drawing, threshold=scoring.threshold)
                rows.append(pickle.dumps(exam))
            for drawn in map_rows(settings, rows, stage, name="exam"):
                explained: ExplainedExam = pickle.loads(drawn["explained"])
                yield waiting[explained.exam_id], explained
                bar.update()


def _exam_tiles(
    exam_id: str,
    looked: Sequence[LookedAt],
    images: Sequence[ManifestRow],
    truth: Annotations,
    drawing: Drawing,
    *,
    threshold: float | None,
) -> ExamTiles:
    return ExamTiles(
        exam_id=exam_id,
        breasts=[_said(one) for one in looked],
        images=images,
        tiles={image_id: tiles for one in looked for image_id, tiles in one.images.items()},
        findings={row.image_id: truth.findings.get(row.image_id, ()) for row in images},
        drawing=drawing,
        threshold=threshold,
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
