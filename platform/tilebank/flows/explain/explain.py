"""Explain a head's scores by maps, boxes and pictures, and measure whether the maps can be trusted.

One of the doors to the test split. Scores are those of predict.py, from the tiles that the head was fitted on; maps are
made from overlapped tiles, which are extracted like any others. Only boxes and curves of a study stay in memory.
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from tilebank.datasets.contract import Manifest
from tilebank.flows.champion.code_revision import code_revision
from tilebank.flows.champion.load import ChosenHead
from tilebank.flows.engine.pipelines import read_manifest
from tilebank.flows.explain.annotations import read_annotations
from tilebank.flows.explain.exams import MapRequest, explained_exams
from tilebank.flows.explain.figures import FigureTally
from tilebank.flows.explain.files import open_files
from tilebank.flows.explain.maps.scales import MapScale, open_scales
from tilebank.flows.explain.page import render_explanation
from tilebank.flows.explain.record import open_record, record_explanation
from tilebank.flows.explain.request import (
    Confirm,
    ExplainRequest,
    assert_explainable,
    confirm_size,
    images_of,
    never,
    wanted_breasts,
)
from tilebank.flows.explain.rows import Sources
from tilebank.flows.explain.summary import ExplainSummary, ScaleCost
from tilebank.flows.explain.tally import ExplainTally
from tilebank.flows.predict.inputs import images_refused, splits_known, vectors_of
from tilebank.flows.predict.rows import Scoring
from tilebank.flows.reporting.atomic_files import finished
from tilebank.flows.reporting.run_facts import run_facts
from tilebank.flows.settings.settings import Settings
from tilebank.flows.study.study import open_reader
from tilebank.imaging.dicom.presentation_state import LONGEST, MarkAuthor
from tilebank.mil.serving import score_columns
from tilebank.terms import Split
from tilebank.tracking.inputs import DatasetUsed

REPORT = "explain.html"
TEMPORARY = "tilebank-explain-"  # stores of folders


def explain(chosen: ChosenHead, request: ExplainRequest, *, confirm: Confirm = never) -> ExplainSummary:
    """Map where the head looks and write the files below `request.out`.

    confirm: asked before more exams than ASK_ABOVE are mapped where nothing in the request says which. Raises
    TilebankError, before any work where possible, for a head without attention, exams that are not there, images that
    cannot be found, and places that cannot be written.
    """
    began = time.perf_counter()
    assert_explainable(chosen, request)
    confirm_size(chosen, request, confirm)
    tracker = open_record(chosen.settings, task=chosen.card.task) if request.is_of_a_study else None
    manifest = read_manifest(chosen.settings)
    with vectors_of(chosen, from_folder=request.from_folder, manifest=manifest, kept_in=TEMPORARY) as settings:
        tally, measured, scales = _explain(chosen, request, settings, manifest)
        table = _dataset_used(settings, tally)
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
        fitted_on=_patients_by_split(chosen, settings),
        facts=run_facts(code_revision()),
    )
    drawn = figures.drawn(ordered_by=settings.explain.map)
    if tracker:
        summary = replace(summary, run_id=record_explanation(tracker, summary, settings, chosen, drawn, table=table))
    with finished(request.out / REPORT) as report:
        report.write(render_explanation(summary, drawn, exams=tally.drawn))
    return summary


def _dataset_used(settings: Settings, tally: ExplainTally) -> DatasetUsed:
    reader, counts = open_reader(settings), {"explained": {"breasts": tally.breasts, "exams": tally.exams}}
    return DatasetUsed(reader.name, reader.version, reader.fingerprint, reader.uri, "explanation", counts)


def _patients_by_split(chosen: ChosenHead, settings: Settings) -> dict[str, str]:
    """How many patients the head's search had in each split; nothing where it never saw this dataset."""
    counts = Counter(splits_known(chosen, settings).values())
    return {split.value: f"{counts[split.value]} patients" for split in Split if counts[split.value]}


def _explain(
    chosen: ChosenHead, request: ExplainRequest, settings: Settings, manifest: Manifest
) -> tuple[ExplainTally, FigureTally, Sequence[MapScale]]:
    """Write each exam as it comes; what was counted and measured on the way."""
    reader = open_reader(settings)
    breasts = wanted_breasts(chosen, request, settings)
    wanted = images_of(manifest, breasts, settings)
    truth = read_annotations(settings, breasts, task=chosen.card.task, wanted=request.boxes)
    sources = Sources(reader, open_scales(settings, wanted))
    scoring = Scoring(chosen.head, chosen.card.threshold, splits=splits_known(chosen, settings), top_tiles=0)
    draw_all = request.from_folder or request.exams
    pictures = len(breasts) if draw_all else settings.explain.exams_drawn
    author = MarkAuthor(chosen.key[:LONGEST], code_revision()[:LONGEST], datetime.now(UTC)) if request.dicom else None
    asked = MapRequest(
        breasts,
        wanted.images,
        truth.findings,
        pictures,
        marks=author,
        maps=request.maps,
        head=chosen.name,
        shown=settings.explain.map,
    )
    refused = images_refused(settings, fingerprint=reader.fingerprint) if request.from_folder else []
    tally = ExplainTally(refused=Counter(f"{row.stage}: {row.reason}" for row in refused))
    measured = FigureTally(chosen.card.task, truth)
    with open_files(request.out, columns=score_columns(chosen.head.outputs)) as files:
        files.add_refused(refused)
        for looked, exam in explained_exams(settings, sources, scoring, asked):
            files.add(looked, exam)
            tally.add(looked, exam)
            measured.add(looked, exam)
    return tally, measured, sources.scales
