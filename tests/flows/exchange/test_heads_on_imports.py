"""Attention heads on slides that another tool encoded: searched, champions, and scored again, with no view anywhere."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import read_csv
from tests.foreign_features import make_slides, write_labels, write_trident

from tilebank.flows.champion.load import choose_head
from tilebank.flows.exchange.exchange import exchange
from tilebank.flows.exchange.request import Request
from tilebank.flows.predict.predict import PredictRequest, predict
from tilebank.flows.search.record import SearchSummary
from tilebank.flows.search.tune import tune_head
from tilebank.flows.settings.choices import Choices
from tilebank.flows.settings.settings import load_settings
from tilebank.store.predictions import read_predictions
from tilebank.terms import Split

pytestmark = [pytest.mark.slow, pytest.mark.long]

SLIDES = make_slides(60)


@pytest.fixture(scope="module")
def choices(new_record: Callable[[Path], str], tmp_path_factory: pytest.TempPathFactory) -> Choices:
    """Sixty slides in a store; of each second one, which are the positives, every other tile is unlike all others."""
    home = tmp_path_factory.mktemp("slides")
    root, labels = write_trident(home / "in", SLIDES), write_labels(home / "labels.csv", SLIDES)
    said = (f"artifacts={home}/artifacts", f"dataset.labels={labels}", "search.trials=2", "search.fit.batch=8")
    choices = Choices(
        dataset="features",
        encoder="uni_v1",
        root=str(root),
        store=str(home / "store"),
        tracking=new_record(home),
        set=(*said, "search.pack=2", "splits.val=0.2", "search.fit.max_epochs=25"),
    )
    exchange(load_settings(choices), Request("import", source="trident"))
    return choices


def is_unlike(tile: dict[str, str]) -> bool:
    """Whether a tile of a positive slide is one of those that make it positive: every second in its file."""
    _, corners = SLIDES[tile["image_id"]]
    (place,) = np.flatnonzero((corners == (int(tile["x"]), int(tile["y"]))).all(axis=1))
    return place % 2 == 0


@pytest.mark.parametrize("head", ["abmil", "asmil"])
def test_a_head_with_attention_is_searched_on_imported_slides_and_its_champion_scores_them(
    head: str, choices: Choices, ray_session: None, tmp_path: Path
) -> None:
    settings = load_settings(replace(choices, head=head, set=(*choices.set, "search.promote=always")))
    summary = tune_head(settings, task="label")
    assert isinstance(summary, SearchSummary)
    assert np.mean(summary.val_aucs) > 0.9, "half of a positive slide's tiles are unlike all others"
    assert "alias champion" in summary.registered

    chosen = choose_head(replace(choices, head="dual_stream"), head="", task="label")
    assert chosen.head.config.name == head
    predict(chosen, PredictRequest(tmp_path / "scores.csv"))
    scores = {row["breast_id"]: row for row in read_csv(tmp_path / "scores.csv")}
    assert {row["flag"] for row in scores.values()} == {""}, "a slide has no view that it could miss"
    kept = read_predictions(settings.store, dataset="features", encoder="uni_v1", run_id=summary.run_id)[Split.TEST]
    assert len(kept.breast_ids) == 12
    found = [float(scores[slide_id]["score"]) for slide_id in kept.breast_ids]
    assert found == pytest.approx(kept.scores.tolist(), abs=1e-5)
    positives = {slide_id for place, slide_id in enumerate(SLIDES) if place % 2}
    looked_at = [tile for tile in read_csv(tmp_path / "scores.tiles.csv") if tile["breast_id"] in positives]
    first = [is_unlike(tile) for tile in looked_at if tile["rank"] == "1"]
    assert len(first) == len(positives)
    assert np.mean(first) > 0.9, "attention is highest where a positive slide is unlike a negative one"
