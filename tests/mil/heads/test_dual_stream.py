import itertools
from pathlib import Path

import pytest
import torch
import yaml

from tilebank.errors import HeadError
from tilebank.mil.bags.bags import BagBatch
from tilebank.mil.heads.dual_stream import DualStreamConfig
from tilebank.mil.heads.registry import HEADS, build_head

CONF = sorted((Path(__file__).parents[3] / "conf" / "heads").glob("*.yaml"))
POOLINGS = ("max", "mean", "attention", "none")
PAIRS = [pair for pair in itertools.product(POOLINGS, repeat=2) if pair != ("none", "none")]


def reordered(bags, *, tile_order):
    return BagBatch(
        bags.view_features,
        bags.view_offsets,
        bags.tile_features[tile_order],
        bags.tile_offsets,
        bags.labels,
        bags.breast_ids,
    )


@pytest.mark.parametrize(("dim", "published"), [(1536, 49_625), (1152, 37_337)])
def test_the_published_head_has_the_published_number_of_parameters(dim, published):
    head = build_head(DualStreamConfig(), dim=dim, seeds=[0])
    assert sum(parameter.numel() for parameter in head.parameters()) == published


def test_logits_and_attention_equal_a_plain_loop_over_bags(make_bags, plain_dual_stream):
    bags, pack = make_bags(seed=3), build_head(DualStreamConfig(), dim=6, seeds=[7, 8, 9])
    with torch.inference_mode():
        for trial in range(3):
            plain = plain_dual_stream(pack.select([trial]))
            torch.testing.assert_close(pack(bags)[trial], plain(bags), atol=1e-6, rtol=1e-5)
            torch.testing.assert_close(pack.attention(bags)[trial], plain.attention(bags), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("views", "tiles"), PAIRS)
def test_every_pooling_ignores_the_order_of_tiles_and_of_breasts(make_bags, views, tiles):
    bags = make_bags(seed=1, fewest_tiles=0)
    head = build_head(DualStreamConfig(view_pooling=views, tile_pooling=tiles), dim=6, seeds=[0, 1])
    generator = torch.Generator().manual_seed(0)
    bounds = zip(bags.tile_offsets[:-1], bags.tile_offsets[1:], strict=True)
    tile_order = torch.cat([a + torch.randperm(b - a, generator=generator) for a, b in bounds])
    breast_order = torch.randperm(len(bags), generator=generator)
    with torch.inference_mode():
        logits = head(bags)
        torch.testing.assert_close(head(reordered(bags, tile_order=tile_order)), logits, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(
            head(bags.select(breast_order.tolist())), logits[:, breast_order], atol=1e-6, rtol=1e-5
        )


@pytest.mark.parametrize(("views", "tiles"), PAIRS)
def test_a_breast_without_tiles_or_views_has_a_finite_logit_and_gradient(views, tiles):
    vectors = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    offsets_views, offsets_tiles = torch.tensor([0, 2, 2, 2]), torch.tensor([0, 0, 1, 1])
    bags = BagBatch(vectors[:2], offsets_views, vectors[3:], offsets_tiles, None, ("no_tile", "one_tile", "nothing"))
    head = build_head(DualStreamConfig(view_pooling=views, tile_pooling=tiles), dim=6, seeds=[0, 1])
    logits = head(bags)
    assert logits.shape == (2, 3)
    assert logits.isfinite().all()
    gradients = torch.autograd.grad(logits.sum(), list(head.parameters()))
    assert all(gradient.isfinite().all() for gradient in gradients)
    torch.testing.assert_close(logits[:, 2], head.classifier.bias[:, 0])  # both streams pool to zeros


def test_a_batch_without_any_tile_is_scored(make_bags):
    bags = make_bags(seed=0)
    bare = BagBatch(
        bags.view_features,
        bags.view_offsets,
        bags.tile_features[:0],
        torch.zeros_like(bags.tile_offsets),
        None,
        bags.breast_ids,
    )
    head = build_head(DualStreamConfig(), dim=6, seeds=[0])
    assert head(bare).isfinite().all()
    assert head.attention(bare).shape == (1, 0)


def test_attention_sums_to_one_over_every_breast_that_has_tiles(make_bags):
    bags = make_bags(seed=2, fewest_tiles=0)
    with torch.inference_mode():
        attention = build_head(DualStreamConfig(), dim=6, seeds=[0, 1]).attention(bags)
    for start, end in zip(bags.tile_offsets[:-1], bags.tile_offsets[1:], strict=True):
        torch.testing.assert_close(attention[:, start:end].sum(1), torch.full((2,), float(end > start)))
    assert (attention > 0).all()


@pytest.mark.parametrize("tiles", ["max", "mean", "none"])
def test_a_head_without_tile_attention_refuses_to_show_any(make_bags, tiles):
    with pytest.raises(HeadError, match=f"pools tiles by {tiles}"):
        build_head(DualStreamConfig(tile_pooling=tiles), dim=6, seeds=[0]).attention(make_bags(seed=0))


def test_a_larger_vector_changes_nothing_unless_normalising_is_off(make_bags):
    bags = make_bags(seed=0, dtype="float32")
    doubled = BagBatch(
        2 * bags.view_features, bags.view_offsets, 2 * bags.tile_features, bags.tile_offsets, None, bags.breast_ids
    )
    normalising = build_head(DualStreamConfig(), dim=6, seeds=[0])
    plain = build_head(DualStreamConfig(l2_normalise=False), dim=6, seeds=[0])
    torch.testing.assert_close(normalising(doubled), normalising(bags))
    assert (plain(doubled) - plain(bags)).abs().max() > 1e-2


def test_logits_of_prepared_bags_equal_forward_on_stored_ones(make_bags):
    bags, head = make_bags(seed=0), build_head(DualStreamConfig(), dim=6, seeds=[0, 1])
    assert torch.equal(head.run(head.prepare(bags)).logits, head(bags))


def test_a_stream_left_out_is_not_read(make_bags):
    prepared = build_head(DualStreamConfig(tile_pooling="none"), dim=6, seeds=[0]).prepare(make_bags(seed=0))
    assert prepared.tiles is None
    assert prepared.views is not None


def test_both_streams_left_out_is_an_error():
    with pytest.raises(HeadError, match="at least one stream"):
        DualStreamConfig(view_pooling="none", tile_pooling="none")


def test_bags_of_another_dimension_are_refused(make_bags):
    with pytest.raises(HeadError, match="vectors of 6 numbers, this head reads 7"):
        build_head(DualStreamConfig(), dim=7, seeds=[0])(make_bags(seed=0))


@pytest.mark.parametrize("path", CONF, ids=lambda path: path.stem)
def test_every_head_of_conf_scores_bags_and_the_first_of_its_kind_lists_all_settings(make_bags, path):
    settings = yaml.safe_load(path.read_text())
    config = HEADS[settings["name"]].config(**settings)
    if path.stem == settings["name"]:
        assert set(settings) == set(config.__dataclass_fields__)
    assert build_head(config, dim=6, seeds=[0])(make_bags(seed=0)).shape == (1, 24)
