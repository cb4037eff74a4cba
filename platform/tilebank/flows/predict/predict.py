"""Score breasts that are stored, or a folder of DICOMs.

One of the doors to the test split: it scores every breast and computes no figures from labels. A folder is extracted
like any dataset, into a temporary store, and scored like any other.
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tilebank.files import absolute_uri
from tilebank.flows.champion.load import ChosenHead
from tilebank.flows.predict.files import PredictionPaths, write_about, write_refused, write_scores
from tilebank.flows.predict.inputs import assert_one_source, images_refused, pick_breasts, splits_known, vectors_of
from tilebank.flows.predict.rows import BreastScore, Scoring, score_breasts
from tilebank.flows.predict.summary import PredictSummary, ScoreTally
from tilebank.flows.reporting.progress import with_progress
from tilebank.flows.settings.settings import Settings
from tilebank.flows.study.study import open_reader
from tilebank.mil.explaining.tile_attention import why_no_attention
from tilebank.mil.serving import score_columns
from tilebank.store.predictions import answer_columns
from tilebank.store.reader import Reader
from tilebank.store.records import StoredBreast
from tilebank.store.tables import Store


def default_out(folder: str) -> Path:
    """Where scores go unless it is said: those of a folder beside those of a study, and not over them."""
    name = absolute_uri(folder, relative_to=Path.cwd()).rstrip("/").rsplit("/", 1)[-1] if folder else ""
    return Path(f"scores-{name}.csv" if name else "scores.csv")


@dataclass(frozen=True)
class PredictRequest:
    """What is scored and where it is written.

    from_folder: the dataset's root is read now, nothing is kept in the store; exams: of those that are stored, none for
    all; top_tiles: how many a breast.
    """

    out: Path
    from_folder: bool = False
    exams: tuple[str, ...] = ()
    top_tiles: int = 5

    @property
    def keeps_rows(self) -> bool:
        """Whether the scores go into the store's predictions table: those of a whole stored dataset do."""
        return not self.from_folder and not self.exams


def predict(chosen: ChosenHead, request: PredictRequest) -> PredictSummary:
    """Score with the chosen head and write the files beside `request.out`.

    Raises TilebankError, before any work where it can be known by then, for places that cannot be written, exams that
    are not there, and nothing to score.
    """
    began = time.perf_counter()
    assert_one_source(request.exams, from_folder=request.from_folder)
    paths = PredictionPaths.of(request.out)
    if request.keeps_rows:
        Store(chosen.settings.store).assert_writable()
    with vectors_of(chosen, from_folder=request.from_folder) as settings:
        reader = open_reader(settings)
        breasts = pick_breasts(reader.read_breasts(), request.exams)
        refused = None if request.exams else images_refused(settings, fingerprint=reader.fingerprint)
        tally, no_tiles = _score(chosen, settings, request, reader=reader, breasts=breasts, paths=paths)
    write_refused(paths, refused)
    summary = PredictSummary(
        head=chosen.name,
        card=chosen.card,
        source=settings.dataset.root if request.from_folder else f"{settings.dataset.name} in {settings.store}",
        table_version=0 if request.from_folder else reader.version,
        fingerprint=reader.fingerprint,
        patients=len({breast.patient_id for breast in breasts}),
        exams=len({breast.exam_id for breast in breasts}),
        tally=tally,
        refused=None if refused is None else dict(Counter(f"{row.stage}: {row.reason}" for row in refused)),
        no_tiles=no_tiles,
        written=tuple(str(path) for path in paths.all if path != paths.refused or refused is not None),
        kept=request.keeps_rows,
        wall_s=time.perf_counter() - began,
    )
    write_about(paths, summary.as_dict())
    return summary


def _score(
    chosen: ChosenHead,
    settings: Settings,
    request: PredictRequest,
    *,
    reader: Reader,
    breasts: Sequence[StoredBreast],
    paths: PredictionPaths,
) -> tuple[ScoreTally, str]:
    """Write a row a breast; what was counted on the way, and why there are no top tiles."""
    no_tiles = why_no_attention(chosen.head)
    top_tiles = 0 if no_tiles else request.top_tiles
    scoring = Scoring(chosen.head, chosen.card.threshold, splits=splits_known(chosen, settings), top_tiles=top_tiles)
    rows = with_progress(score_breasts(reader, breasts, scoring), what="score", unit="breast", total=len(breasts))
    tally, kept = ScoreTally(), []
    for row in write_scores(paths, rows, columns=score_columns(chosen.head.outputs)):
        tally.add(row)
        if request.keeps_rows:
            kept.append(_prediction(row, chosen, fingerprint=reader.fingerprint))
    if request.keeps_rows:
        store = Store(settings.store)
        store.write_predictions(settings.dataset.name, settings.encoder.name, kept, licence=settings.licence)
    return tally, no_tiles


def _prediction(row: BreastScore, chosen: ChosenHead, *, fingerprint: str) -> dict[str, object]:
    """A row of the predictions table. It holds no label: nothing is measured here."""
    return {
        "breast_id": row.breast_id,
        "exam_id": row.exam_id,
        "patient_id": row.patient_id,
        "task": chosen.card.task,
        "split": row.split,
        "label": None,
        **answer_columns(row.scores),
        "head": chosen.name,
        "run_id": f"predict--{chosen.key}",
        "fingerprint": fingerprint,
    }
