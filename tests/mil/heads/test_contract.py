"""What holds for every head in the table, in each of its forms. A new row in HEADS is tested by itself."""

from dataclasses import fields, replace
from itertools import pairwise
from typing import get_args, get_type_hints

import numpy as np
import pytest
import torch

from tilebank.errors import HeadError
from tilebank.mil.bags.bags import BagBatch
from tilebank.mil.contract.dropout import StackedUniform, StepNoise
from tilebank.mil.contract.outputs import Outputs, example_losses
from tilebank.mil.fitting.fit import FitConfig, TrialConfig, fit_heads
from tilebank.mil.heads.parts.anchor import AnchorConfig
from tilebank.mil.heads.registry import HEADS, build_head, load_head, save_head

OUTPUTS = (Outputs(), Outputs("multiclass", 3), Outputs("multilabel", 2))
DIM = 6


def forms():
    """Every head on each kind of bag, with every other choice of its settings, and in some further forms."""
    for name, kind in HEADS.items():
        settings = {field.name for field in fields(kind.config)}
        for instances in ("tiles", "views", "both") if "instances" in settings else ("",):
            yield form(name, {"instances": instances} if instances else {})
        for changes in choices(kind.config):
            yield form(name, changes)
    for name, changes in (
        ("asmil", {"as_released": True, "drop": 0.25}),
        ("dual_stream", {"view_pooling": "attention", "anchor": AnchorConfig(momentum=0.9, target="softmax")}),
        ("dual_stream", {"view_pooling": "none", "tile_pooling": "max", "training": "instance"}),
        ("clam_sb", {"subtyping": True, "sampled": 1, "margin": 0.0}),
        ("dtfd", {"distil": "max_min", "groups": 2}),
        ("mean", {"hidden": 5}),
        ("transmil", {"landmarks": 3, "kernel": 3}),
    ):
        yield form(name, changes)


def choices(config):
    """One change for each other value of a Literal or bool setting, and for an anchor to be switched on or off.

    Values that the default settings refuse are left out.
    """
    hints, default = get_type_hints(config), config()
    for setting in fields(config):
        hint, value = hints[setting.name], getattr(default, setting.name)
        if setting.name in ("name", "instances", "l2_normalise"):
            continue
        if hint is bool:
            others = [not value]
        elif AnchorConfig in get_args(hint):
            others = [AnchorConfig(momentum=0.9) if value is None else None]
        else:
            others = [other for other in get_args(hint) if isinstance(other, str) and other != value]
        for other in others:
            try:
                config(**{setting.name: other})
            except HeadError:
                continue
            yield {setting.name: other}


def form(name, changes):
    told = " ".join(f"{key}={'yes' if key == 'anchor' and value else value}" for key, value in changes.items())
    return pytest.param(HEADS[name].config(**changes), id=f"{name} {told}".strip())


@pytest.fixture(params=list(forms()))
def config(request):
    return request.param


@pytest.fixture
def bags(make_bags):
    return make_bags(seed=0, breasts=12, fewest_tiles=1)


def head_of(config, *, seeds=(0, 1, 2), outputs=OUTPUTS[0]):
    return build_head(config, dim=DIM, seeds=seeds, outputs=outputs)


def attention_of(head, bags):
    return head.run(head.prepare(bags)).attention


def one_bag(views, tiles):
    rng = np.random.default_rng(5)
    return BagBatch.from_arrays(
        view_features=rng.normal(size=(views, DIM)).astype(np.float16),
        view_offsets=np.array([0, views]),
        tile_features=rng.normal(size=(tiles, DIM)).astype(np.float16),
        tile_offsets=np.array([0, tiles]),
        breast_ids=["exam_L"],
    )


@pytest.mark.parametrize("outputs", OUTPUTS, ids=lambda outputs: outputs.kind)
def test_logits_have_the_shape_of_the_answer(config, bags, outputs):
    shape = (3, 12) if outputs.kind == "binary" else (3, 12, outputs.count)
    assert head_of(config, outputs=outputs)(bags).shape == shape


def test_the_order_of_instances_in_a_bag_does_not_matter(config, bags):
    rng, head = np.random.default_rng(0), head_of(config)
    if head.order_matters:
        pytest.skip("by definition of the head")
    orders = {}
    for kind in ("view", "tile"):
        offsets = getattr(bags, f"{kind}_offsets").tolist()
        orders[kind] = np.concatenate([rng.permutation(np.arange(a, b)) for a, b in pairwise(offsets)])
    moved = replace(
        bags, view_features=bags.view_features[orders["view"]], tile_features=bags.tile_features[orders["tile"]]
    )
    torch.testing.assert_close(head(moved), head(bags), atol=1e-5, rtol=1e-4)
    if attention_of(head, bags) is not None and config.tiles_by != "none":
        torch.testing.assert_close(head.attention(moved), head.attention(bags)[:, orders["tile"]], atol=1e-5, rtol=1e-4)


def test_the_order_of_breasts_does_not_matter(config, bags):
    order, head = np.random.default_rng(1).permutation(12).tolist(), head_of(config)
    torch.testing.assert_close(head(bags.select(order)), head(bags)[:, order], atol=1e-5, rtol=1e-4)


def test_a_breast_alone_has_the_answer_that_it_has_among_others(config, bags):
    head = head_of(config)
    together = head(bags)
    for place in range(12):
        torch.testing.assert_close(head(bags.select([place])), together[:, [place]], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("views", "tiles"), [(0, 3), (2, 0), (0, 0), (1, 1), (1, 0), (0, 1)])
def test_breasts_with_few_instances_or_none_have_finite_answers_and_attention(config, bags, views, tiles):
    head, small = head_of(config), one_bag(views, tiles)
    assert head(small).isfinite().all()
    attention = attention_of(head, small)
    if attention is not None:
        there = {"view": views, "tile": tiles}
        read = (config.views_by != "none") * there["view"] + (config.tiles_by != "none") * there["tile"]
        assert attention.weights.isfinite().all()
        if attention.weights.shape[1] == 1:
            torch.testing.assert_close(attention.weights, torch.ones(3, 1))
        assert attention.weights.shape[1] <= read


def test_attention_sums_to_one_over_every_bag(config, make_bags):
    head, bags = head_of(config), make_bags(seed=2, fewest_tiles=0)
    attention = attention_of(head, bags)
    if attention is None:
        with pytest.raises(HeadError, match="has no attention on them"):
            head.attention(bags)
        return
    assert (attention.weights >= 0).all()
    for length, part in zip(
        attention.rows.segments.lengths.tolist(),
        attention.weights.split(attention.rows.segments.lengths.tolist(), dim=1),
        strict=True,
    ):
        torch.testing.assert_close(part.sum(dim=1), torch.full((3,), float(length > 0)))


def test_stored_halves_give_the_answers_of_their_float32_values(config, bags):
    head = head_of(config)
    wide = replace(bags, view_features=bags.view_features.float(), tile_features=bags.tile_features.float())
    assert bags.tile_features.dtype == torch.float16
    torch.testing.assert_close(head(bags), head(wide))


SHIFTS = ("pooling.key.bias",)  # moves all scores of a bag alike, which softmax does not see


@pytest.mark.parametrize("outputs", OUTPUTS, ids=lambda outputs: outputs.kind)
def test_a_step_s_loss_reaches_every_parameter_of_every_trial(config, make_bags, outputs):
    bags = make_bags(seed=0, breasts=40, signal=3.0, fewest_tiles=0)  # some without a tile
    head = head_of(config, outputs=outputs)
    rng = np.random.default_rng(0)
    labels = {
        "binary": torch.from_numpy(rng.integers(0, 2, 40)).float(),
        "multiclass": torch.from_numpy(rng.integers(0, 3, 40)),
        "multilabel": torch.from_numpy(rng.integers(0, 2, (40, 2))).float(),
    }[outputs.kind]
    weights = torch.ones(3, outputs.count)
    noise = StackedUniform(head.noise_width, seeds=[0, 1, 2], device=torch.device("cpu")).sample(40)
    losses = head.losses(
        head.prepare(bags),
        labels,
        criterion=lambda logits, truth: example_losses(logits, truth, outputs=outputs, weights=weights),
        noise=StepNoise(uniform=noise),
    )
    total = losses.examples.sum() + (0 if losses.extra is None else losses.extra.sum())
    names, parameters = zip(*head.named_parameters(), strict=True)
    for name, gradient in zip(names, torch.autograd.grad(total, parameters), strict=True):
        assert gradient.isfinite().all(), name
        reached = gradient.flatten(1).abs().sum(dim=1) > 0
        assert reached.all() or name.endswith(SHIFTS), name


def test_first_weights_and_answers_depend_on_the_seed_and_not_on_the_pack(config, bags):
    pack, alone, again = head_of(config), head_of(config, seeds=(1,)), head_of(config, seeds=(1,))
    for name, weights in alone.state_dict().items():
        assert torch.equal(pack.state_dict()[name][1], weights[0]), name
    assert torch.equal(alone(bags), again(bags))
    torch.testing.assert_close(pack(bags)[[1]], alone(bags), atol=1e-6, rtol=1e-5)
    assert (pack(bags)[0] - pack(bags)[1]).abs().max() > 1e-4


def test_a_selected_head_shares_no_memory_with_its_pack(config, bags):
    pack = head_of(config)
    before = pack(bags)
    chosen = pack.select([2, 0])
    assert chosen.trials == 2
    torch.testing.assert_close(chosen(bags), before[[2, 0]], atol=1e-6, rtol=1e-5)
    with torch.no_grad():
        for held in (*chosen.parameters(), *chosen.buffers()):
            held.zero_()
    assert torch.equal(pack(bags), before)


def test_a_saved_head_comes_back_bit_by_bit(config, bags, tmp_path):
    head = head_of(config, outputs=OUTPUTS[1])
    save_head(head, tmp_path)
    again = load_head(tmp_path).head
    assert again.config == config
    assert torch.equal(again(bags), head(bags))


TRIALS = [
    TrialConfig(seed=0, lr=1e-2),
    TrialConfig(seed=1, lr=3e-3, dropout=0.3),
    TrialConfig(seed=2, weight_decay=1e-2),
]


def fit(make_bags, config, trials, *, epochs=2, breasts=12):
    train, val = (make_bags(seed=seed, signal=3.0, breasts=breasts) for seed in (0, 1))
    settings = FitConfig(max_epochs=epochs, patience=epochs)
    return fit_heads(train, val, head=config, trials=trials, config=settings)


def assert_equal_fits(ours, theirs, **close):
    for a, b in zip(ours, theirs, strict=True):
        assert a.best_epoch == b.best_epoch
        for name, curve in a.curves.items():
            np.testing.assert_allclose(curve, b.curves[name], **close, err_msg=name)


def test_a_head_fitted_in_a_pack_equals_the_same_head_fitted_alone(config, make_bags):
    pack = fit(make_bags, config, TRIALS)
    for trial, packed in zip(TRIALS, pack, strict=True):
        assert_equal_fits(fit(make_bags, config, [trial]), [packed], atol=1e-4)
    assert_equal_fits(fit(make_bags, config, TRIALS), pack, atol=0, rtol=0)


def test_a_full_batch_in_pieces_is_fitted_as_the_whole(config, make_bags, monkeypatch):
    whole = fit(make_bags, config, TRIALS, breasts=6)
    monkeypatch.setattr("tilebank.mil.fitting.memory_plan._PIECE_BYTES", {"cpu": 1})  # a breast a piece
    monkeypatch.setattr("tilebank.mil.fitting.memory_plan._WEIGHTS_A_PIECE", 0)
    cut = fit(make_bags, config, TRIALS, breasts=6)
    assert (whole[0].plan.pieces, cut[0].plan.pieces) == (1, 6)
    assert_equal_fits(cut, whole, atol=1e-4)


def test_fitting_lowers_the_loss(config, make_bags):
    fitted = fit(make_bags, config, [TrialConfig(seed=0, lr=lr) for lr in (3e-2, 2e-3)], epochs=12)
    assert min(head.curves["train_loss"][-1] / head.curves["train_loss"][0] for head in fitted) < 0.95
