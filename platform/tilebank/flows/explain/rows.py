"""Run stored breasts through a head: scores, contributions, and the value of every overlapped tile.

Vectors are read for some exams at a time, so memory does not grow with the study.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tilebank.flows.explain.maps.image import TileValues
from tilebank.flows.explain.maps.scales import MapScale
from tilebank.flows.predict.rows import BreastScore, Scoring, score_read, views_stored
from tilebank.flows.settings.explain import ExplainConfig
from tilebank.imaging.maps.attention_map import MapConfig
from tilebank.mil.bags.bags import BagBatch
from tilebank.mil.explaining.ablated_bags import tile_evidence
from tilebank.mil.explaining.contributions import stream_contributions, tile_contributions
from tilebank.mil.explaining.faithfulness import BreastCurves, score_curves
from tilebank.mil.explaining.tile_attention import tile_attention
from tilebank.mil.heads.registry import Head
from tilebank.store.reader import Reader
from tilebank.store.records import StoredBreast

SHOWN: dict[str, Callable[[Head, BagBatch], NDArray[np.float64]]] = {  # of each tile, (Nt,), by `ExplainConfig.map`
    "attention": lambda head, bags: np.asarray(tile_attention(head, bags)[0]),
    "contribution": lambda head, bags: tile_contributions(head, bags)[:, 0],
    "evidence": lambda head, bags: tile_evidence(head, bags)[:, 0],
}
EXAMS_AT_ONCE = 8  # some 30 breasts' worth of overlapped tiles: 70 MB of vectors of 1536 numbers


@dataclass(frozen=True, eq=False)
class BreastMaps:
    """One breast: its score, its logits and what views and tiles add to them, and its tiles by image, a scale each.

    curves: how the score moves as tiles go or come; None for a head of several answers.
    """

    score: BreastScore
    logits: tuple[float, ...]
    of_views: tuple[float, ...]
    of_tiles: tuple[float, ...]
    images: Mapping[str, tuple[TileValues, ...]]
    curves: BreastCurves | None


@dataclass(frozen=True, eq=False)
class Sources:
    """What is read: the tiles that the score is made of, and the overlapped ones of each scale."""

    plain: Reader
    scales: Sequence[MapScale]


def map_exams(
    sources: Sources, breasts: Sequence[StoredBreast], scoring: Scoring, config: ExplainConfig
) -> Iterator[list[BreastMaps]]:
    """The breasts of one exam at a time, exams in the order of their ids."""
    views = views_stored(sources.plain)
    exams: dict[str, list[StoredBreast]] = {}
    for breast in breasts:
        exams.setdefault(breast.exam_id, []).append(breast)
    ids = sorted(exams)
    for start in range(0, len(ids), EXAMS_AT_ONCE):
        some = [breast for exam in ids[start : start + EXAMS_AT_ONCE] for breast in exams[exam]]
        looked = _map_breasts(sources, some, scoring, config, views=views)
        for exam in ids[start : start + EXAMS_AT_ONCE]:
            yield [one for one in looked if one.score.exam_id == exam]


def _map_breasts(
    sources: Sources,
    breasts: Sequence[StoredBreast],
    scoring: Scoring,
    config: ExplainConfig,
    *,
    views: Mapping[str, set[str]],
) -> list[BreastMaps]:
    bags = BagBatch.from_arrays(**vars(sources.plain.read_bags([breast.breast_id for breast in breasts])))
    scores = score_read(breasts, bags, scoring, views=views)
    adds = stream_contributions(scoring.head, bags)
    curves = _curves(scoring.head, bags, config)
    images: dict[str, dict[str, list[TileValues]]] = {breast.breast_id: {} for breast in breasts}
    weights = {row.breast_id: max(row.scores) for row in scores}
    for scale in sources.scales:
        for breast_id, image_id, tiles in _tiles_of(scale, bags, scoring.head, config, weights=weights):
            images[breast_id].setdefault(image_id, []).append(tiles)
    return [
        BreastMaps(
            score=row,
            logits=tuple(adds.logits[place].tolist()),
            of_views=tuple(adds.of_views[place].tolist()),
            of_tiles=tuple(adds.of_tiles[place].tolist()),
            images={image: tuple(tiles) for image, tiles in images[row.breast_id].items()},
            curves=curves.get(row.breast_id),
        )
        for place, row in enumerate(scores)
    ]


def _curves(head: Head, bags: BagBatch, config: ExplainConfig) -> dict[str, BreastCurves]:
    """By breast. A head of several answers has no one score to follow."""
    if head.outputs.kind != "binary" or not len(bags.tile_features):
        return {}
    values = _values(head, bags, config)
    return score_curves(head, bags, values, random_orders=config.draws, seed=config.seed)


def _values(head: Head, bags: BagBatch, config: ExplainConfig) -> NDArray[np.float64]:
    """What is shown of each tile: (Nt,)."""
    return SHOWN[config.map](head, bags)


def _tiles_of(
    scale: MapScale, bags: BagBatch, head: Head, config: ExplainConfig, *, weights: Mapping[str, float]
) -> Iterator[tuple[str, str, TileValues]]:
    """breast_id, image_id and the tiles of each image that is stored at this scale. weights: scores of the breasts,
    the highest of several answers."""
    held = [breast_id for breast_id in bags.breast_ids if breast_id in scale.held]
    if not held:
        return
    stored = scale.reader.read_bags(held)
    views = bags.select([bags.breast_ids.index(breast_id) for breast_id in held])
    looked = BagBatch.from_arrays(
        view_features=views.view_features.numpy(),
        view_offsets=views.view_offsets.numpy(),
        tile_features=stored.tile_features,
        tile_offsets=stored.tile_offsets,
        breast_ids=held,
    )
    values, places = _values(head, looked, config), scale.reader.read_tile_places(held)
    drawn = MapConfig(config.smoothing * scale.stride_px, config.shrinkage, config.mean_shown)
    for place, breast_id in enumerate(held):
        rows = slice(int(places.offsets[place]), int(places.offsets[place + 1]))
        if rows.start == rows.stop:
            continue
        even = 1.0 if config.map == "evidence" else float(rows.stop - rows.start)  # shares are of so many tiles
        unit = even * (weights[breast_id] if config.map == "attention" else 1.0)
        images, own = places.image_ids[rows], values[rows]
        for image_id in dict.fromkeys(images):
            chosen = images == image_id
            yield breast_id, image_id, TileValues(places.boxes[rows][chosen], own[chosen], unit, drawn)
