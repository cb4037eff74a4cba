import json

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tilebank.errors import HeadError
from tilebank.mil.heads.dual_stream import DualStreamConfig
from tilebank.mil.heads.parts.layers import StackedLinear, generators_of
from tilebank.mil.heads.registry import build_head, load_head, save_head


def test_first_weights_depend_on_the_seed_and_not_on_the_pack():
    pack, alone = (
        build_head(DualStreamConfig(), dim=6, seeds=[4, 5, 6]),
        build_head(DualStreamConfig(), dim=6, seeds=[5]),
    )
    for name, weights in alone.state_dict().items():
        assert torch.equal(pack.state_dict()[name][1], weights[0]), name
        assert not torch.equal(pack.state_dict()[name][0], weights[0]), name


def test_first_weights_have_the_distribution_of_torch_linear():
    stacked = StackedLinear(400, 500, generators=generators_of([0]))
    torch.manual_seed(0)
    linear = nn.Linear(400, 500)
    for ours, theirs in ((stacked.weight, linear.weight), (stacked.bias, linear.bias)):
        assert ours.abs().max() <= 1 / 20  # 1 / sqrt(400)
        assert ours.std().item() == pytest.approx(theirs.std().item(), rel=0.05)
        assert ours.mean().abs() < 0.005


def test_shared_rows_and_columns_of_each_trial_give_the_same_layer():
    layer = StackedLinear(3, 2, generators=generators_of([0, 1]))
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(layer(x), layer(x.T.expand(2, 3, 5)))
    torch.testing.assert_close(layer(x)[1], nn.functional.linear(x, layer.weight[1], layer.bias[1]).T)


def test_select_keeps_the_chosen_heads_in_order_and_shares_no_memory(make_bags):
    bags, pack = make_bags(seed=0), build_head(DualStreamConfig(), dim=6, seeds=[0, 1, 2])
    chosen = pack.select([2, 0])
    assert chosen.trials == 2
    torch.testing.assert_close(chosen(bags), pack(bags)[[2, 0]])
    before = pack(bags)
    with torch.no_grad():
        for parameter in chosen.parameters():
            parameter.zero_()
    assert torch.equal(pack(bags), before)


@pytest.mark.parametrize("trials", [[1], [0, 1, 2]])
def test_a_saved_head_comes_back_bit_by_bit(make_bags, tmp_path, trials):
    config = DualStreamConfig(view_pooling="attention", hidden=5, latent=3, l2_normalise=False)
    head = build_head(config, dim=6, seeds=[0, 1, 2]).select(trials)
    save_head(head, tmp_path / "new" / "head", metadata={"encoder": "tiny", "threshold": "0.5"})
    saved = load_head(tmp_path / "new" / "head")
    assert saved.metadata == {"encoder": "tiny", "threshold": "0.5"}
    assert saved.head.config == config
    assert all(torch.equal(saved.head.state_dict()[name], value) for name, value in head.state_dict().items())
    assert torch.equal(saved.head(make_bags(seed=0)), head(make_bags(seed=0)))


def test_a_missing_or_foreign_folder_is_refused(tmp_path):
    with pytest.raises(HeadError, match="written by save_head"):
        load_head(tmp_path)
    (tmp_path / "head.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(HeadError, match="not format 1"):
        load_head(tmp_path)


def test_weights_that_are_missing_or_of_another_shape_are_refused(tmp_path):
    save_head(build_head(DualStreamConfig(), dim=6, seeds=[0]), tmp_path)
    weights = build_head(DualStreamConfig(), dim=7, seeds=[0]).state_dict()
    save_file(dict(weights), tmp_path / "head.safetensors")
    with pytest.raises(HeadError, match="does not fit the weights"):
        load_head(tmp_path)
    (tmp_path / "head.safetensors").write_bytes(b"not weights")
    with pytest.raises(HeadError, match="cannot read weights"):
        load_head(tmp_path)
    (tmp_path / "head.safetensors").unlink()
    with pytest.raises(HeadError, match="cannot read weights"):
        load_head(tmp_path)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (DualStreamConfig(name="triple"), "no head named 'triple'; choose one of abmil, .*dual_stream"),
        (DualStreamConfig(tile_pooling="median"), "no pooling 'median'"),
    ],
)
def test_an_unknown_choice_is_refused_with_the_known_ones(config, message):
    with pytest.raises(HeadError, match=message):
        build_head(config, dim=6, seeds=[0])


def test_a_pack_without_heads_is_refused():
    with pytest.raises(HeadError, match="0 seeds"):
        build_head(DualStreamConfig(), dim=6, seeds=[])
