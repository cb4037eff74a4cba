"""What views and tiles add to a logit, and what a tile says by itself: against the head's own terms."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from tilebank.mil.explaining import ablated_bags as variants
from tilebank.mil.explaining.ablated_bags import AblatedBag, ablated_logits, predict_logits, tile_evidence
from tilebank.mil.explaining.contributions import stream_contributions, tile_contributions
from tilebank.mil.explaining.faithfulness import score_curves
from tilebank.mil.heads.abmil import AbmilConfig
from tilebank.mil.heads.dual_stream import DualStreamConfig
from tilebank.mil.heads.registry import HEADS, build_head


@pytest.fixture
def head():
    return build_head(DualStreamConfig(), dim=6, seeds=[1])


def terms_of(head, bags):
    """w . z of each stream (B,), written from the head's own pieces, and the bias."""
    with torch.inference_mode():
        prepared = head.prepare(bags)
        views = head.view_stream.pool(prepared.views).pooled[0]  # (C, B)
        tiles = head.tile_stream.pool(prepared.tiles).pooled[0]
        weights = head.classifier.weight.reshape(-1)
        return (weights[:8] @ views).numpy(), (weights[8:] @ tiles).numpy(), float(head.classifier.bias)


def test_of_the_dual_stream_the_contributions_are_its_terms_and_come_to_the_logit(head, make_bags):
    bags = make_bags(seed=0, fewest_tiles=0)
    of_views, of_tiles, bias = terms_of(head, bags)
    found = stream_contributions(head, bags)
    np.testing.assert_allclose(found.of_views[:, 0], of_views, atol=1e-6)
    np.testing.assert_allclose(found.of_tiles[:, 0], of_tiles, atol=1e-6)
    np.testing.assert_allclose(found.logits[:, 0], of_views + of_tiles + bias, atol=1e-6)
    assert np.abs(of_tiles).max() > 0.01
    assert (found.of_tiles[bags.tile_offsets.diff().numpy() == 0] == 0).all(), "no tiles add nothing"


@pytest.mark.parametrize("config", [DualStreamConfig(), AbmilConfig(instances="tiles")])
def test_where_the_answer_is_linear_in_what_is_pooled_the_tiles_contributions_come_to_the_stream_s(config, make_bags):
    head, bags = build_head(config, dim=6, seeds=[4]), make_bags(seed=8)
    found = tile_contributions(head, bags)[:, 0]
    offsets = bags.tile_offsets.tolist()
    sums = [found[start:stop].sum() for start, stop in pairwise(offsets)]
    np.testing.assert_allclose(sums, stream_contributions(head, bags).of_tiles[:, 0], atol=1e-6)
    assert np.abs(sums).max() > 0.01


@pytest.mark.parametrize("name", sorted(HEADS))
def test_every_head_tells_finite_contributions_evidence_and_curves(name, make_bags):
    head, bags = build_head(HEADS[name].config(), dim=6, seeds=[0]), make_bags(seed=3, breasts=6)
    found = stream_contributions(head, bags)
    assert np.isfinite(np.stack([found.logits, found.of_views, found.of_tiles])).all()
    assert np.abs(found.of_tiles).max() > 0
    evidence = tile_evidence(head, bags)
    assert evidence.shape == (len(bags.tile_features), 1)
    assert np.isfinite(evidence).all()
    curves = score_curves(head, bags, evidence[:, 0], random_orders=1, seed=0)
    assert np.isfinite([list(vars(each).values()) for each in curves.values()]).all()


def test_a_stream_that_is_not_read_adds_nothing(make_bags):
    head = build_head(DualStreamConfig(view_pooling="none"), dim=6, seeds=[0])
    found = stream_contributions(head, make_bags(seed=0))
    assert (found.of_views == 0).all()
    assert np.abs(found.of_tiles).min() > 0


def test_the_evidence_of_a_tile_is_the_logit_with_it_alone_however_few_are_scored_at_once(head, make_bags, monkeypatch):
    bags = make_bags(seed=5, breasts=7, fewest_tiles=0)
    monkeypatch.setattr(variants, "_ROWS", 11)
    found = tile_evidence(head, bags)
    assert found.shape == (len(bags.tile_features), 1)
    offsets = bags.tile_offsets.tolist()
    for place in range(len(bags)):
        one = bags.select([place])
        for row in range(offsets[place], offsets[place + 1]):
            alone = type(bags)(
                view_features=one.view_features,
                view_offsets=one.view_offsets,
                tile_features=bags.tile_features[row : row + 1],
                tile_offsets=torch.tensor([0, 1]),
                labels=None,
                breast_ids=one.breast_ids,
            )
            np.testing.assert_allclose(found[row], predict_logits(head, alone)[0], atol=1e-6)


def test_a_variant_with_all_tiles_is_the_breast_itself(head, make_bags):
    bags = make_bags(seed=2)
    offsets = bags.tile_offsets.numpy()
    whole = [AblatedBag(place, np.arange(offsets[place], offsets[place + 1])) for place in range(len(bags))]
    np.testing.assert_allclose(ablated_logits(head, bags, whole), predict_logits(head, bags), atol=1e-6)
