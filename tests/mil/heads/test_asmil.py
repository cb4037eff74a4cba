"""ASMIL and its anchor against their equations, written out: one head, one breast, one token at a time, in float64."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from tilebank.errors import HeadError
from tilebank.mil.bags.bags import BagBatch
from tilebank.mil.bags.segments import segment_log_softmax, segments_of
from tilebank.mil.contract.dropout import StackedUniform, StepNoise
from tilebank.mil.contract.outputs import BINARY, example_losses
from tilebank.mil.fitting.fit import FitConfig, TrialConfig, fit_heads
from tilebank.mil.heads.abmil import AbmilConfig
from tilebank.mil.heads.asmil import AsmilConfig
from tilebank.mil.heads.parts.anchor import AnchorConfig, kl_divergence
from tilebank.mil.heads.parts.segment_matmul import segment_matmul
from tilebank.mil.heads.registry import build_head, load_head, save_head

SMALL = AsmilConfig(tokens=3, heads=2, hidden=8)


class Written:
    """The equations of one trial, with a head's weights."""

    def __init__(self, head, trial):
        self.config = head.config
        self.w = {name: value[trial].double() for name, value in head.state_dict().items()}
        buffers = head.anchor.named_buffers() if head.anchor else ()
        self.anchor = {f"scorer.{name.replace('__', '.')}": value[trial].double() for name, value in buffers}

    def bag(self, bags, b):
        views = bags.view_features[bags.view_offsets[b] : bags.view_offsets[b + 1]]
        tiles = bags.tile_features[bags.tile_offsets[b] : bags.tile_offsets[b + 1]]
        x = torch.cat([views, tiles]).double()
        x = nn.functional.normalize(x, dim=1) if self.config.l2_normalise else x
        return x, torch.arange(len(x)) < len(views)

    def project(self, x, is_view, weights):
        rows = []
        for row, view in zip(x, is_view, strict=True):
            z = weights["scorer.projection.linear.weight"] @ row + weights["scorer.projection.linear.bias"]
            rows.append(torch.relu(z + weights["scorer.projection.view_shift"] if view else z))
        return torch.stack(rows)

    def scores(self, h, weights, place):
        """z of each token and head over the rows of h: a list of (n,), token by token, head by head."""
        every, per_head = [], h.shape[1] // self.config.heads
        for t in range(len(weights[f"{place}tokens"])):
            q = weights[f"{place}query_weight"][t] @ weights[f"{place}tokens"][t] + weights[f"{place}query_bias"][t]
            for k in range(self.config.heads):
                own = slice(k * per_head, (k + 1) * per_head)
                keys = h @ weights[f"{place}key_weight"][t][own].T  # (n, C / K)
                every.append(keys @ q[own, 0] / math.sqrt(per_head))
        return every

    def output(self, h, attention, place, t):
        """o_t = LN(W_O concat_k(sum_i a_tki (W_V h_i)_k + b_V) + b_O)."""
        per_head = h.shape[1] // self.config.heads
        seen = torch.cat(
            [
                sum(a * (self.w[f"{place}value_weight"][t] @ row) for a, row in zip(weights, h, strict=True))[
                    k * per_head : (k + 1) * per_head
                ]
                for k, weights in enumerate(attention)
            ]
        )
        out = self.w[f"{place}out_weight"][t] @ (seen + self.w[f"{place}value_bias"][t][0])
        out = out + self.w[f"{place}out_bias"][t][0]
        centred = (out - out.mean()) / torch.sqrt(((out - out.mean()) ** 2).mean() + 1e-6)
        return centred * self.w[f"{place}norm_weight"][t][0] + self.w[f"{place}norm_bias"][t][0]

    def see(self, bags, b, *, kept=None):
        """Logit, instance attention, and the anchor's pull of one breast."""
        x, is_view = self.bag(bags, b)
        heads, tokens = self.config.heads, self.config.tokens
        h = self.project(x, is_view, self.w)
        z = self.scores(h, self.w, "scorer.queries.")
        a = [torch.softmax(each, dim=0) for each in z]
        outputs = [self.output(h, a[t * heads : (t + 1) * heads], "values.", t) for t in range(tokens)]
        left = [t for t in range(tokens) if kept is None or kept[t]]
        of_tokens = [torch.softmax(each, dim=0) for each in self.scores(torch.stack(outputs)[left], self.w, "cls.")]
        cls = self.output(torch.stack(outputs)[left], of_tokens, "cls_values.", 0)
        logit = self.w["classifier.weight"] @ cls + self.w["classifier.bias"]
        paid = torch.stack(of_tokens).mean(dim=0)  # mean over CLS's heads
        own = [torch.stack(a[t * heads : (t + 1) * heads]).mean(dim=0) for t in left]
        attention = sum(c * each for c, each in zip(paid, own, strict=True))
        return logit[0], attention, self.loss(x, is_view, z)

    def loss(self, x, is_view, z):
        if not self.anchor:
            return None
        h = self.project(x, is_view, self.anchor)
        total = 0.0
        for theirs, ours in zip(self.scores(h, self.anchor, "scorer.queries."), z, strict=True):
            sigmoid = 1 / (1 + torch.exp(-theirs / self.config.anchor.temperature))
            nsf, a = sigmoid / sigmoid.sum(), torch.softmax(ours, dim=0)
            if self.config.as_released:
                total += -(nsf * a.log()).mean()
            else:
                total += (nsf * (nsf.log() - a.log())).sum()
        return self.config.anchor.weight * total / len(z)


def moved(head, *, by=0.3):
    """The head after a step of its own, so that nothing stands at its first weights and the anchor lags behind."""
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter += by * torch.randn(parameter.shape, generator=generator)
    return head


def losses_of(head, bags, *, noise=None, labels=None):
    labels = torch.zeros(len(bags)) if labels is None else labels
    weights = torch.ones(head.trials, 1)
    return head.losses(
        head.prepare(bags),
        labels,
        criterion=lambda logits, truth: example_losses(logits, truth, outputs=BINARY, weights=weights),
        noise=StepNoise(uniform=noise),
    )


@pytest.mark.parametrize(
    "config",
    [
        SMALL,
        replace(SMALL, l2_normalise=True, anchor=AnchorConfig(weight=0.7, temperature=0.5)),
        replace(SMALL, as_released=True, anchor=AnchorConfig(temperature=0.5)),
    ],
    ids=["paper", "normalised, weight and temperature", "as released"],
)
def test_answers_attention_and_pull_are_those_of_the_equations(make_bags, config):
    bags, head = make_bags(seed=0, breasts=4), moved(build_head(config, dim=6, seeds=[0, 1]))
    passed, extra = head.run(head.prepare(bags)), losses_of(head, bags).extra
    for trial in range(2):
        written, start = Written(head, trial), 0
        for b in range(4):
            logit, attention, pull = written.see(bags, b)
            stop = start + len(attention)
            assert passed.logits[trial, b].item() == pytest.approx(logit.item(), abs=2e-5)
            np.testing.assert_allclose(passed.attention.weights[trial, start:stop].detach(), attention, atol=1e-6)
            assert extra[trial, b].item() == pytest.approx(pull.item(), abs=1e-5, rel=1e-4)
            start = stop


def test_tokens_left_out_are_those_of_the_noise_and_cls_sees_the_others(make_bags):
    bags, head = make_bags(seed=0, breasts=12), moved(build_head(SMALL, dim=6, seeds=[0]))
    noise = StackedUniform(3, seeds=[0], device=torch.device("cpu")).sample(12)
    losses = losses_of(head, bags, noise=noise, labels=torch.zeros(12)).examples[0]
    counts = set()
    for b in range(12):
        kept = noise[0, :, b] >= SMALL.drop
        counts.add(int(kept.sum()))
        kept[noise[0, :, b].argmax()] = True  # one at least
        logit, _, _ = Written(head, 0).see(bags, b, kept=kept)
        assert losses[b].item() == pytest.approx(nn.functional.softplus(logit).item(), abs=1e-5)
    assert len(counts) > 1


def test_tokens_start_with_unit_variance_and_as_released_next_to_nothing():
    spreads = [
        build_head(AsmilConfig(as_released=released), dim=6, seeds=[0]).scorer.queries.tokens.std().item()
        for released in (False, True)
    ]
    assert spreads == [pytest.approx(1, rel=0.1), pytest.approx(1e-6, rel=0.1)]


def test_the_number_of_tokens_kept_is_binomial(make_bags):
    head = build_head(AsmilConfig(tokens=4, heads=2, hidden=8, drop=0.25), dim=6, seeds=[0])
    noise = StackedUniform(4, seeds=[0], device=torch.device("cpu")).sample(20_000)
    counts = np.bincount(head._kept_tokens(StepNoise(uniform=noise))[0].sum(dim=0), minlength=5) / 20_000
    expected = [math.comb(4, k) * 0.75**k * 0.25 ** (4 - k) for k in range(5)]
    expected[1] += expected[0]  # where none would be kept, one is
    expected[0] = 0
    np.testing.assert_allclose(counts, expected, atol=0.012)
    released = build_head(replace(head.config, as_released=True), dim=6, seeds=[0])
    assert set(released._kept_tokens(StepNoise(uniform=noise))[0].sum(dim=0).tolist()) == {3}


def test_nothing_is_dropped_in_use_and_the_pull_does_not_depend_on_what_is(make_bags):
    bags, head = make_bags(seed=0), build_head(SMALL, dim=6, seeds=[0, 1])
    noise = StackedUniform(3, seeds=[0, 1], device=torch.device("cpu")).sample(24)
    assert torch.equal(head(bags), head(bags))
    torch.testing.assert_close(losses_of(head, bags, noise=noise).extra, losses_of(head, bags).extra)
    assert (losses_of(head, bags, noise=noise).examples - losses_of(head, bags).examples).abs().max() > 1e-4


def test_the_pull_is_nought_where_both_branches_agree_and_its_gradient_is_their_difference():
    segments = segments_of(torch.tensor([0, 3, 3, 8]))
    scores = torch.randn(2, 8, generator=torch.Generator().manual_seed(0), requires_grad=True)
    online = segment_log_softmax(scores, segments)
    assert kl_divergence(online.detach(), online, segments).abs().max() < 1e-6
    target = segment_log_softmax(torch.randn(2, 8, generator=torch.Generator().manual_seed(1)), segments)
    pull = kl_divergence(target, online, segments)
    assert pull.shape == (2, 3)
    assert (pull[:, [0, 2]] > 0).all()
    assert (pull[:, 1] == 0).all()  # an empty bag
    (gradient,) = torch.autograd.grad(pull.sum(), scores)
    torch.testing.assert_close(gradient, (online.exp() - target.exp()).detach())


@pytest.mark.parametrize("config", [SMALL, AbmilConfig(hidden=8, attention=4, anchor=AnchorConfig())])
def test_an_anchor_of_softmax_agrees_with_its_source_before_the_first_step(make_bags, config):
    bags = make_bags(seed=0)
    same = build_head(replace(config, anchor=AnchorConfig(target="softmax")), dim=6, seeds=[0, 1])
    assert losses_of(same, bags).extra.abs().max() < 1e-6
    assert (losses_of(build_head(config, dim=6, seeds=[0, 1]), bags).extra > 0).any()  # the sigmoid flattens


def test_the_anchor_follows_the_online_weights_step_by_step_and_has_no_gradient(make_bags):
    head = build_head(replace(SMALL, anchor=AnchorConfig(momentum=0.9)), dim=6, seeds=[0, 1])
    first = [weights.detach().clone() for weights in head.scorer.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(first, head.anchor.buffers(), strict=True))
    expected = first
    for step in range(3):
        moved(head, by=0.1 * (step + 1))
        head.after_step()
        expected = [0.9 * a + 0.1 * w.detach() for a, w in zip(expected, head.scorer.parameters(), strict=True)]
    for anchor, wanted, start in zip(head.anchor.buffers(), expected, first, strict=True):
        torch.testing.assert_close(anchor, wanted)
        assert not torch.equal(anchor, start)
        assert not anchor.requires_grad
    still = build_head(replace(SMALL, as_released=True), dim=6, seeds=[0])
    before = [anchor.clone() for anchor in still.anchor.buffers()]
    assert not any(torch.equal(a, w) for a, w in zip(before, still.scorer.parameters(), strict=True) if a.abs().sum())
    moved(still).after_step()
    assert all(torch.equal(a, b) for a, b in zip(before, still.anchor.buffers(), strict=True))


def test_fitting_adds_the_pull_and_lets_the_anchor_follow(make_bags):
    train, val = (make_bags(seed=seed, signal=3.0) for seed in (0, 1))

    def train_losses(**changes):
        config = replace(SMALL, drop=0.0, anchor=AnchorConfig(**changes))
        (fitted,) = fit_heads(
            train, val, head=config, trials=[TrialConfig(seed=0, lr=1e-2)], config=FitConfig(max_epochs=6, patience=6)
        )
        return fitted.curves["train_loss"]

    plain, pulled, still = (train_losses(weight=w, momentum=m) for w, m in ((0.0, 0.5), (1e4, 0.5), (1e4, 1.0)))
    fresh = build_head(replace(SMALL, drop=0.0, anchor=AnchorConfig(weight=1e4)), dim=6, seeds=[0])
    assert pulled[0] - plain[0] == pytest.approx(losses_of(fresh, train).extra.mean().item(), rel=1e-4)
    assert pulled[0] == still[0]
    assert np.abs(pulled[1:] - still[1:]).min() > 1e-6


def test_the_online_branch_starts_alike_whatever_its_anchor_and_only_it_is_saved(make_bags, tmp_path):
    heads = [
        build_head(replace(SMALL, **changes), dim=6, seeds=[0])
        for changes in ({}, {"anchor": None}, {"anchor": AnchorConfig(weight=3.0)})
    ]
    for head in heads:
        assert set(head.state_dict()) == set(heads[1].state_dict())
        assert all(torch.equal(value, heads[1].state_dict()[name]) for name, value in head.state_dict().items())
    save_head(heads[2], tmp_path)
    assert load_head(tmp_path).head.config == heads[2].config


@pytest.mark.parametrize(("dim", "width", "tokens"), [(384, 128, 1), (384, 128, 8), (1024, 512, 4)])
def test_parameters_are_counted_as_in_the_authors_code_less_what_is_dead_in_it(dim, width, tokens):
    config = AsmilConfig(instances="tiles", tokens=tokens, hidden=width, anchor=None)
    head = build_head(config, dim=dim, seeds=[0])
    authors = {(384, 1): 182_788, (384, 8): 649_618, (1024, 4): 5_791_242}[dim, tokens]  # two classes
    unused_norm, key_biases = 2 * width, (tokens + 1) * width
    token_classifiers, second_class = tokens * 2 * (width + 1), width + 1
    ours = authors - unused_norm - key_biases - token_classifiers - second_class + width  # + a bias of W
    assert sum(parameter.numel() for parameter in head.parameters()) == ours


def test_a_product_by_segments_is_that_of_each_segment_and_so_is_its_gradient():
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(2, rows, 7, generator=generator, requires_grad=True) for rows in (3, 4))
    segments = segments_of(torch.tensor([0, 2, 2, 7]))
    product = segment_matmul(left, right, segments)
    assert product.shape == (2, 3, 3, 4)
    bounds = [(0, 2), (2, 2), (2, 7)]
    plain = torch.stack([torch.einsum("tqn,tcn->tqc", left[..., a:b], right[..., a:b]) for a, b in bounds], dim=2)
    torch.testing.assert_close(product, plain)
    weights = torch.randn(product.shape, generator=generator)
    ours, theirs = (torch.autograd.grad((each * weights).sum(), (left, right)) for each in (product, plain))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: AsmilConfig(hidden=10), "hidden a multiple of heads"),
        (lambda: AsmilConfig(drop=1.0), "drop 1.0 must be at least 0"),
        (lambda: AsmilConfig(instances="patches"), "no instances 'patches'; choose tiles, views or both"),
        (lambda: AnchorConfig(momentum=1.5), "momentum 1.5 from 0 to 1"),
        (lambda: AnchorConfig(target="sigmoid"), "no target 'sigmoid'; choose nsf or softmax"),
    ],
)
def test_settings_that_cannot_work_are_refused(build, message):
    with pytest.raises(HeadError, match=message):
        build()


def test_a_bag_of_views_and_tiles_tells_them_apart(make_bags):
    """The same vectors, once as views and once as tiles: alike before anything is learned, not alike after."""
    rows, none = make_bags(seed=0).tile_features[:4], torch.zeros(2, dtype=torch.int64)
    offsets = torch.tensor([0, 4])
    as_views = BagBatch(rows, offsets, rows[:0], none, None, ("a",))
    as_tiles = BagBatch(rows[:0], none, rows, offsets, None, ("a",))
    head = build_head(AbmilConfig(hidden=8, attention=4), dim=6, seeds=[0])
    torch.testing.assert_close(head(as_views), head(as_tiles))
    moved(head)
    assert (head(as_views) - head(as_tiles)).abs().max() > 1e-3
