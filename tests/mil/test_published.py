import math

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tilebank.errors import HeadError
from tilebank.mil.heads.registry import load_head, save_head
from tilebank.mil.published import import_published, read_checkpoint

DIM, HIDDEN, LATENT = 6, 16, 8


@pytest.fixture
def weights():
    """Tensors under the published names, as fresh torch layers would draw them."""
    torch.manual_seed(0)
    layers = {
        "global_proj_0.0": nn.Linear(DIM, HIDDEN),
        "global_proj_1.0": nn.Linear(HIDDEN, LATENT),
        "local_proj_0.0": nn.Linear(DIM, HIDDEN),
        "local_proj_1.0": nn.Linear(HIDDEN, LATENT),
        "k": nn.Linear(LATENT, LATENT),
        "v": nn.Linear(LATENT, LATENT),
        "linear_out": nn.Linear(2 * LATENT, 1),
    }
    named = {
        f"{name}.{part}": value.detach() for name, layer in layers.items() for part, value in layer.named_parameters()
    }
    return named | {"latent": torch.randn(1, LATENT)}


def published_logit(w, views, tiles):
    """The published computation of one breast, operation by operation as it is described."""

    def linear(name, x):
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    seen = linear("global_proj_1.0", linear("global_proj_0.0", views).relu()).relu().max(dim=0).values
    z = linear("local_proj_1.0", linear("local_proj_0.0", tiles).relu()).relu()
    scores = linear("k", z) @ w["latent"].T / math.sqrt(LATENT)  # (n, 1)
    pooled = (torch.softmax(scores, dim=0) * linear("v", z)).sum(dim=0)
    return linear("linear_out", torch.cat([seen, pooled]))[0]


def rows(bags, b):
    views = bags.view_features[bags.view_offsets[b] : bags.view_offsets[b + 1]].float()
    return views, bags.tile_features[bags.tile_offsets[b] : bags.tile_offsets[b + 1]].float()


@pytest.mark.parametrize("l2_normalise", [False, True])
def test_an_imported_head_gives_the_published_logits(weights, make_bags, l2_normalise):
    bags = make_bags(seed=0)
    head = import_published(weights, l2_normalise=l2_normalise)
    prepare = nn.functional.normalize if l2_normalise else torch.clone
    expected = torch.stack([published_logit(weights, *map(prepare, rows(bags, b))) for b in range(len(bags))])
    with torch.inference_mode():
        torch.testing.assert_close(head(bags)[0], expected, atol=1e-6, rtol=1e-5)
    assert expected.std() > 1e-3  # they differ between breasts


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_a_checkpoint_is_read_from_either_kind_of_file(weights, tmp_path, make_bags, suffix, wrapped):
    path = tmp_path / f"head.{suffix}"
    if suffix == "safetensors":
        save_file(weights, path)
    else:
        torch.save({"model_state_dict": weights, "epoch": 3} if wrapped else weights, path)
    read = read_checkpoint(path)
    assert set(read) == set(weights)
    head = import_published(read, l2_normalise=False)
    save_head(head, tmp_path / "ours")
    bags = make_bags(seed=0)
    assert torch.equal(load_head(tmp_path / "ours").head(bags), head(bags))


def test_a_head_of_one_stream_is_imported_without_the_other(weights, make_bags):
    views = {name: value for name, value in weights.items() if name.startswith("global")}
    views |= {
        "linear_out.weight": weights["linear_out.weight"][:, :LATENT],
        "linear_out.bias": weights["linear_out.bias"],
    }
    head = import_published(views, l2_normalise=False, view_pooling="mean")
    assert (head.config.view_pooling, head.config.tile_pooling) == ("mean", "none")
    bags = make_bags(seed=0)
    seen = rows(bags, 0)[0]
    z = (seen @ views["global_proj_0.0.weight"].T + views["global_proj_0.0.bias"]).relu()
    z = (z @ views["global_proj_1.0.weight"].T + views["global_proj_1.0.bias"]).relu().mean(dim=0)
    torch.testing.assert_close(head(bags)[0, 0], (z @ views["linear_out.weight"].T + views["linear_out.bias"])[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w | {"linear_out.2.weight": torch.ones(1, 8)}, "linear_out.2.weight.*cannot be imported"),
        (lambda w: {n: v for n, v in w.items() if n != "local_proj_1.0.bias"}, "local_proj_1.0.bias.*missing"),
        (lambda w: {n: v for n, v in w.items() if n != "k.bias"}, "do not fit"),
        (lambda w: w | {"latent": torch.ones(4, LATENT)}, "has 4 latents"),
        (lambda w: w | {"global_proj_1.0.weight": torch.ones(4, HIDDEN)}, "two streams have widths"),
        (lambda w: w | {"linear_out.weight": torch.ones(3, 16), "linear_out.bias": torch.ones(3)}, "of 1 outputs"),
        (lambda w: {"linear_out.weight": w["linear_out.weight"]}, "global_proj and of local_proj are both missing"),
    ],
)
def test_what_a_dual_stream_head_cannot_be_is_refused_by_name(weights, change, message):
    with pytest.raises(HeadError, match=message):
        import_published(change(weights), l2_normalise=False)


class Code:
    def __reduce__(self):
        return (print, ("run",))


def test_a_file_that_wants_code_to_run_or_holds_no_tensors_is_refused(tmp_path, capsys):
    torch.save({"latent": Code()}, tmp_path / "code.pth")
    with pytest.raises(HeadError, match="cannot read weights"):
        read_checkpoint(tmp_path / "code.pth")
    assert capsys.readouterr().out == ""
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(HeadError, match="no dict of tensors"):
        read_checkpoint(tmp_path / "list.pth")
    (tmp_path / "cut.safetensors").write_bytes(b"xx")
    for missing in ("cut.safetensors", "missing.pth"):
        with pytest.raises(HeadError, match="cannot read weights"):
            read_checkpoint(tmp_path / missing)
