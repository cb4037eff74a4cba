"""Where a head looks: maps, boxes and pictures of stored exams or of a folder, and whether the maps can be believed.

One of the doors to the test split. Scores are those of predict.py, of the tiles that the head was fitted on; maps are
of overlapped tiles, extracted as any others are. Nothing of a study is held but its boxes and curves.
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from tilebank.datasets.contract import Manifest
from tilebank.errors import ConfigError, DatasetError, HeadError
from tilebank.flows.champion.code_revision import code_revision
from tilebank.flows.champion.load import ChosenHead
from tilebank.flows.engine.pipelines import read_manifest
from tilebank.flows.explain.annotations import read_annotations
from tilebank.flows.explain.exams import Wish, explained_exams
from tilebank.flows.explain.figures import FigureTally
from tilebank.flows.explain.files import assert_folder, open_files
from tilebank.flows.explain.maps.scales import MapScale, assert_mappable, open_scales
from tilebank.flows.explain.page import render_explanation
from tilebank.flows.explain.record import open_record, record_explanation
from tilebank.flows.explain.rows import Sources
from tilebank.flows.explain.summary import ExplainSummary, ExplainTally, ScaleCost
from tilebank.flows.predict.inputs import assert_one_source, images_refused, pick_breasts, splits_known, vectors_of
from tilebank.flows.predict.rows import Scoring
from tilebank.flows.reporting.atomic_files import finished
from tilebank.flows.settings.settings import Settings
from tilebank.flows.study.study import open_reader
from tilebank.imaging.dicom.presentation_state import LONGEST, MarkAuthor
from tilebank.mil.explaining.tile_attention import why_no_attention
from tilebank.mil.serving import score_columns
from tilebank.store.reader import StoredBreast

REPORT = "explain.html"
TEMPORARY = "tilebank-explain-"  # stores of folders


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
    with vectors_of(chosen, from_folder=request.from_folder, manifest=manifest, kept_in=TEMPORARY) as settings:
        tally, measured, scales = _explain(chosen, request, settings, manifest)
    figures = measured.measure(settings.evaluation)
    summary = ExplainSummary(
        head=chosen.name,
        card=chosen.card,
        source=settings.dataset.root if request.from_folder else f"{settings.dataset.name} in {settings.store}",
        split=request.split,
        config=settings.explain,
        scales=tuple(ScaleCost.of(scale) for scale in scales),
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


def _explain(
    chosen: ChosenHead, request: ExplainRequest, settings: Settings, manifest: Manifest
) -> tuple[ExplainTally, FigureTally, Sequence[MapScale]]:
    """Write each exam as it comes; what was counted and measured on the way."""
    reader = open_reader(settings)
    splits = splits_known(chosen, settings)
    breasts = _wanted(reader.read_breasts(), request, splits=splits)
    wanted = _images_of(manifest, breasts, settings)
    truth = read_annotations(settings, breasts, task=chosen.card.task, wanted=request.boxes)
    sources = Sources(reader, open_scales(settings, wanted))
    scoring = Scoring(chosen.head, chosen.card.threshold, splits=splits, top_tiles=0)
    pictures = settings.explain.exams_drawn if request.is_of_a_study else len(breasts)
    author = MarkAuthor(chosen.key[:LONGEST], code_revision()[:LONGEST], datetime.now(UTC)) if request.dicom else None
    wish = Wish(breasts, wanted.images, truth.findings, pictures, marks=author, maps=request.maps, head=chosen.name)
    refused = images_refused(settings, fingerprint=reader.fingerprint) if request.from_folder else []
    tally = ExplainTally(refused=Counter(f"{row.stage}: {row.reason}" for row in refused))
    measured = FigureTally(chosen.card.task, truth)
    with open_files(request.out, columns=score_columns(chosen.head.outputs)) as files:
        files.add_refused(refused)
        for looked, exam in explained_exams(settings, sources, scoring, wish):
            files.add(looked, exam)
            tally.add(looked, exam)
            measured.add(looked, exam)
    return tally, measured, sources.scales


def _assert_can(chosen: ChosenHead, request: ExplainRequest) -> None:
    assert_one_source(request.exams, from_folder=request.from_folder)
    if request.from_folder and request.split:
        raise ConfigError("--split picks stored exams; a folder has no splits")
    assert_mappable(chosen.settings)
    if chosen.settings.explain.map != "evidence" and (why := why_no_attention(chosen.head)):
        raise HeadError(f"{why}, or ask for what each tile says by itself, with --map evidence")
    if chosen.settings.explain.map != "attention" and chosen.head.outputs.kind != "binary":
        raise HeadError(
            f"head {chosen.name} has several answers, and a map of {chosen.settings.explain.map} is for one; take --map"
            " attention"
        )
    if chosen.head.config.tiles_by == "none":
        raise HeadError(f"head {chosen.name} reads no tiles, so there is nothing to lay on an image; fit one that does")
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
