"""Tile attention as an array, computed in chunks; and the reason why a head has none."""

import numpy as np
import torch

from tilebank.mil.explaining.tile_attention import tile_attention, why_no_attention
from tilebank.mil.heads.dual_stream import DualStreamConfig
from tilebank.mil.heads.registry import build_head


def test_attention_in_chunks_is_that_of_all_breasts_at_once(make_bags, monkeypatch):
    bags = make_bags(seed=0, fewest_tiles=0)
    head = build_head(DualStreamConfig(), dim=6, seeds=[0, 1])
    with torch.inference_mode():
        whole = head.attention(bags).double().numpy()
    monkeypatch.setattr("tilebank.mil.explaining.tile_attention._ROWS", 10)
    found = tile_attention(head, bags)
    assert found.shape == (2, len(bags.tile_features))
    np.testing.assert_allclose(found, whole, atol=1e-7)


def test_a_head_says_why_it_has_no_attention_and_nothing_where_it_has():
    assert why_no_attention(build_head(DualStreamConfig(), dim=6, seeds=[0])) == ""
    said = why_no_attention(build_head(DualStreamConfig(tile_pooling="max"), dim=6, seeds=[0]))
    assert "pools tiles by max and has no attention" in said
