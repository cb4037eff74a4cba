"""Curves of deletion and insertion: they end where they must, and tell what drives a score from chance."""

import numpy as np
import pytest

from tilebank.mil.explaining.ablated_bags import tile_evidence
from tilebank.mil.explaining.faithfulness import SHARES, score_curves
from tilebank.mil.heads.max import MaxConfig
from tilebank.mil.heads.registry import build_head, score_bags


@pytest.fixture
def head():
    """The score is that of the one tile that says most, so that evidence names what drives it."""
    return build_head(MaxConfig(instances="tiles"), dim=6, seeds=[4])


def stacked(curves, name):
    return np.stack([getattr(each, name) for each in curves.values()])  # (B, F)


def test_curves_start_and_end_at_the_whole_breast_and_at_none_of_its_tiles(head, make_bags):
    bags = make_bags(seed=0, fewest_tiles=0)
    found = score_curves(head, bags, tile_evidence(head, bags)[:, 0], seed=0)
    filled = [place for place, count in enumerate(bags.tile_offsets.diff().tolist()) if count]
    assert list(found) == [bags.breast_ids[place] for place in filled]
    whole = score_bags(head, bags)[0][filled]
    none = score_bags(head, bags.without(views=False, tiles=True))[0][filled]
    for name in ("deletion", "deletion_at_random"):
        np.testing.assert_allclose(stacked(found, name)[:, 0], whole, atol=1e-6)
        np.testing.assert_allclose(stacked(found, name)[:, -1], none, atol=1e-6)
    for name in ("insertion", "insertion_at_random"):
        np.testing.assert_allclose(stacked(found, name)[:, 0], none, atol=1e-6)
        np.testing.assert_allclose(stacked(found, name)[:, -1], whole, atol=1e-6)
    assert stacked(found, "insertion").shape == (len(filled), len(SHARES))


def test_what_drives_the_score_moves_it_more_than_tiles_by_chance_and_noise_does_not(head, make_bags):
    bags = make_bags(seed=1, breasts=60, fewest_tiles=6)
    evidence = tile_evidence(head, bags)[:, 0]
    driven = score_curves(head, bags, evidence, seed=0)
    noise = score_curves(head, bags, np.random.default_rng(0).normal(size=len(evidence)), seed=0)
    gain = (stacked(driven, "insertion") - stacked(driven, "insertion_at_random")).mean()
    assert gain > 0.003
    assert (stacked(driven, "deletion_at_random") - stacked(driven, "deletion")).mean() > 0.003
    assert abs((stacked(noise, "insertion") - stacked(noise, "insertion_at_random")).mean()) < gain / 4


def test_random_orders_do_not_depend_on_the_breasts_beside(head, make_bags):
    bags = make_bags(seed=1)
    values = tile_evidence(head, bags)[:, 0]
    both = score_curves(head, bags, values, seed=7)
    offsets, name = bags.tile_offsets.tolist(), bags.breast_ids[5]
    one = score_curves(head, bags.select([5]), values[offsets[5] : offsets[6]], seed=7)
    np.testing.assert_allclose(one[name].insertion_at_random, both[name].insertion_at_random, atol=1e-6)
    other = score_curves(head, bags, values, seed=8)
    assert not np.allclose(stacked(other, "insertion_at_random"), stacked(both, "insertion_at_random"))
