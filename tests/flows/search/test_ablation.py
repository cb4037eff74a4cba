"""Several heads searched one after the other: which, and the table of their champions."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from tests.flows.conftest import MakeSettings, SearchedHeads

from tilebank.errors import ConfigError
from tilebank.flows.search.ablation import tune_heads
from tilebank.mil.heads.registry import HEADS


def test_the_published_ablation_is_eleven_different_heads(settings_for: MakeSettings) -> None:
    settings = settings_for(search="ablation")
    assert len(settings.heads) == 11
    kinds = {(head.view_pooling, head.tile_pooling, head.training) for head in settings.heads.values()}
    assert len(kinds) == 11
    assert {view for view, _, _ in kinds} == {tile for _, tile, _ in kinds} == {"none", "mean", "max", "attention"}
    assert {training for _, _, training in kinds} == {"breast", "instance"}
    one = settings.with_head("tiles_mean")
    assert (one.head_name, one.head.tile_pooling, one.heads) == ("tiles_mean", "mean", {})
    assert one.search == settings.search


def test_the_ablation_differs_from_the_published_protocol_in_its_heads_alone() -> None:
    folder = Path(__file__).parents[3] / "conf" / "searches"
    assert yaml.safe_load((folder / "ablation.yaml").read_text()).keys() == {"heads"}


def test_heads_and_transformers_are_one_of_each_architecture_by_one_recipe_but_for_its_length(
    settings_for: MakeSettings,
) -> None:
    heads, transformers = settings_for(search="heads"), settings_for(search="transformers")
    searched = [head.name for part in (heads, transformers) for head in part.heads.values()]
    assert len(set(searched)) == len(searched)
    assert set(searched) <= set(HEADS)
    shorter = replace(heads.search.fit, max_epochs=12, patience=12)
    assert replace(heads.search, name="transformers", heads=tuple(transformers.heads), fit=shorter) == (
        transformers.search
    )


def test_the_ablation_of_the_anchor_differs_in_the_anchor_alone(settings_for: MakeSettings) -> None:
    held, free = (settings_for(head=name).head for name in ("asmil", "asmil_free"))
    assert replace(held, anchor=None) == free
    free, held_too = (settings_for(head=name).head for name in ("abmil", "abmil_anchored"))
    assert replace(held_too, anchor=None) == free
    assert held_too.anchor == held.anchor


def test_an_unknown_head_of_the_list_is_named_before_any_work(settings_for: MakeSettings) -> None:
    with pytest.raises(ConfigError, match=r"unknown head 'tiles_men' \(did you mean 'tiles_mean'\?\)"):
        settings_for("search.heads=[views_only, tiles_men]")


def test_a_head_named_twice_is_refused(settings_for: MakeSettings) -> None:
    with pytest.raises(ConfigError, match="name one twice"):
        settings_for("search.heads=[views_only, views_only]")


def test_an_ablation_without_heads_is_refused(settings_for: MakeSettings) -> None:
    with pytest.raises(ConfigError, match="lists no heads"):
        tune_heads(settings_for(), task="malignancy")


@pytest.mark.slow
def test_every_head_is_searched_and_has_its_row_with_intervals(searched_heads: SearchedHeads) -> None:
    summary = searched_heads.summary
    assert [search.head for search in summary.searches] == ["tiles_inference", "dual_stream"]
    rows = summary.as_table().splitlines()
    assert rows[2].startswith("| `tiles_inference` | none | max | inference only | ")
    assert rows[3].startswith("| `dual_stream` | max | attention | fitting | ")
    figures = summary.searches[1].evaluation.as_metrics()
    assert f"{figures['test_auc']:.3f} ({figures['test_auc_low']:.3f} to {figures['test_auc_high']:.3f})" in rows[3]
    assert summary.as_table() in summary.as_text()
    assert summary.as_dict()["table"] == summary.as_table()
