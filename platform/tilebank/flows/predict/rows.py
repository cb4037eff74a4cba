"""Score stored breasts with a head, some at a time, and find the tiles with most attention.

Vectors are read as they are needed, so memory does not grow with the study.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tilebank.mil.bags.bags import BagBatch
from tilebank.mil.explaining.tile_attention import tile_attention
from tilebank.mil.heads.registry import Head, score_bags
from tilebank.store.reader import Reader
from tilebank.store.records import StoredBreast, TilePlaces
from tilebank.terms import TileBox

AT_ONCE = 256  # breasts read together: some 50 MB of vectors of 1536 numbers
STANDARD_VIEWS = ("CC", "MLO")
ROUNDING = 1e-6  # a float32 logit moves this much with the breasts beside it, and the threshold is one breast's score


@dataclass(frozen=True)
class TopTile:
    """A tile that a head looked at: its image, its box in source pixels, its share of the breast's attention."""

    image_id: str
    view: str
    box: TileBox
    attention: float


@dataclass(frozen=True)
class BreastScore:
    """What a head says of one breast. split: of its patient, empty where the head's search had none of it.

    scores: one, or one a class; at_or_above: None without a threshold; views: those that were scored; flag: the
    standard views that it misses, or empty; tiles: by attention, the highest first.
    """

    patient_id: str
    exam_id: str
    breast_id: str
    laterality: str
    split: str
    scores: tuple[float, ...]
    at_or_above: bool | None
    views: tuple[str, ...]
    flag: str
    tiles: tuple[TopTile, ...] = ()


@dataclass(frozen=True)
class Scoring:
    """A head of one trial and how its answers are read. splits: patient_id -> split."""

    head: Head
    threshold: float | None
    splits: Mapping[str, str]
    top_tiles: int


def score_breasts(reader: Reader, breasts: Sequence[StoredBreast], scoring: Scoring) -> Iterator[BreastScore]:
    """One score a breast, in the order given."""
    views = views_stored(reader)
    for start in range(0, len(breasts), AT_ONCE):
        some = breasts[start : start + AT_ONCE]
        bags = BagBatch.from_arrays(**vars(reader.read_bags([breast.breast_id for breast in some])))
        tiles = _top_tiles(reader, bags, scoring)
        for row, looked_at in zip(score_read(some, bags, scoring, views=views), tiles, strict=True):
            yield replace(row, tiles=looked_at)


def score_read(
    breasts: Sequence[StoredBreast], bags: BagBatch, scoring: Scoring, *, views: Mapping[str, set[str]]
) -> list[BreastScore]:
    """One score a breast whose vectors are read, without its tiles. views: as `views_stored` gives them."""
    scores = score_bags(scoring.head, bags)[0].reshape(len(breasts), -1)  # (B, C), C = 1 for yes or no
    return [
        _score_of(breast, answers, scoring, views=views.get(breast.breast_id, set()))
        for breast, answers in zip(breasts, scores.tolist(), strict=True)
    ]


def views_stored(reader: Reader) -> dict[str, set[str]]:
    """breast_id -> the views that are stored of it."""
    views: dict[str, set[str]] = {}
    for view in reader.read_views():
        views.setdefault(view.breast_id, set()).add(view.view)
    return views


def _score_of(breast: StoredBreast, answers: Sequence[float], scoring: Scoring, *, views: set[str]) -> BreastScore:
    missing = [view for view in STANDARD_VIEWS if views and view not in views]  # a slide has none, and misses none
    return BreastScore(
        patient_id=breast.patient_id,
        exam_id=breast.exam_id,
        breast_id=breast.breast_id,
        laterality=breast.laterality,
        split=scoring.splits.get(breast.patient_id, ""),
        scores=tuple(answers),
        at_or_above=_is_at_or_above(answers, scoring.threshold),
        views=tuple(sorted(views)),
        flag=f"misses {' and '.join(missing)}" if missing else "",
    )


def _is_at_or_above(answers: Sequence[float], threshold: float | None) -> bool | None:
    return None if threshold is None or len(answers) > 1 else answers[0] >= threshold - ROUNDING


def _top_tiles(reader: Reader, bags: BagBatch, scoring: Scoring) -> list[tuple[TopTile, ...]]:
    """The tiles of most attention of each breast."""
    if not scoring.top_tiles:
        return [()] * len(bags)
    weights = tile_attention(scoring.head, bags)[0]  # (Nt,)
    places = reader.read_tile_places(bags.breast_ids)
    found = []
    for start, stop in zip(places.offsets[:-1], places.offsets[1:], strict=True):
        order = start + np.argsort(-weights[start:stop], kind="stable")[: scoring.top_tiles]
        found.append(tuple(_top_tile(places, row, attention=weights[row].item()) for row in order))
    return found


def _top_tile(places: TilePlaces, row: int, *, attention: float) -> TopTile:
    return TopTile(places.image_ids[row], places.views[row], TileBox(*places.boxes[row].tolist()), attention)
