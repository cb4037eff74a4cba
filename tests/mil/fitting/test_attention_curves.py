"""Attention from epoch to epoch, against scipy."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy

from tilebank.mil.bags.ragged import prepare_ragged
from tilebank.mil.bags.segments import segment_softmax, segments_of
from tilebank.mil.contract.records import Attention
from tilebank.mil.fitting.attention_curves import AttentionTracker, jensen_shannon, normalised_entropy
from tilebank.mil.fitting.fit import FitConfig, TrialConfig, fit_heads
from tilebank.mil.heads.abmil import AbmilConfig
from tilebank.mil.heads.asmil import AsmilConfig
from tilebank.mil.heads.dual_stream import DualStreamConfig
from tilebank.mil.heads.max import MaxConfig
from tilebank.mil.heads.registry import build_head

OFFSETS = torch.tensor([0, 4, 4, 5, 11])  # an empty bag, and a bag of one


def attention(seed, *, sharp=1.0):
    scores = sharp * torch.randn(2, 11, generator=torch.Generator().manual_seed(seed))
    return segment_softmax(scores, segments_of(OFFSETS))


def test_divergence_and_entropy_of_every_bag_are_those_of_scipy():
    p, q = attention(0, sharp=3.0), attention(1)
    js, width = jensen_shannon(p, q, segments_of(OFFSETS)), normalised_entropy(p, segments_of(OFFSETS))
    for trial in range(2):
        for bag, (start, stop) in enumerate([(0, 4), (4, 4), (4, 5), (5, 11)]):
            ours, theirs = p[trial, start:stop].double().numpy(), q[trial, start:stop].double().numpy()
            wide = stop - start > 1
            assert js[trial, bag].item() == pytest.approx(
                jensenshannon(ours, theirs) ** 2 if wide else 0, rel=1e-6, abs=1e-12
            )
            expected = entropy(ours) / np.log(stop - start) if wide else 0
            assert width[trial, bag].item() == pytest.approx(expected, abs=1e-6)


def test_the_bounds_are_reached():
    one, other = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    segments = segments_of(torch.tensor([0, 2]))
    assert jensen_shannon(one, other, segments).item() == pytest.approx(np.log(2))
    assert jensen_shannon(one, one, segments).item() == 0
    assert normalised_entropy(one, segments).item() == 0
    assert normalised_entropy(torch.tensor([[0.5, 0.5]]), segments).item() == pytest.approx(1)


def test_bags_of_one_and_none_are_not_counted_and_trials_that_leave_are_forgotten():
    rows = prepare_ragged(torch.zeros(11, 3), OFFSETS, l2_normalise=False)
    tracker, first, second = AttentionTracker(), attention(0), attention(1)
    tracker.update(Attention(first, rows))
    assert tracker.finish_epoch()["attention_js"].tolist() == [0, 0]
    tracker.select([1])
    tracker.update(Attention(second[[1]], rows))
    figures = tracker.finish_epoch()
    each = jensen_shannon(first, second, segments_of(OFFSETS))[1]
    assert figures["attention_js"].item() == pytest.approx(((each[0] + each[3]) / 2).item(), rel=1e-5)
    assert tracker.finish_epoch() == {}


@pytest.mark.parametrize(
    "config",
    [AbmilConfig(hidden=8, attention=4), AsmilConfig(tokens=2, heads=2, hidden=8), DualStreamConfig()],
    ids=lambda config: config.name,
)
def test_the_curves_of_a_fit_are_those_of_its_epochs_on_the_validation_split(make_bags, config):
    train, val = (make_bags(seed=seed, signal=3.0) for seed in (0, 1))
    trials = [TrialConfig(seed=seed, lr=1e-2) for seed in range(3)]

    def fit(epochs):
        # Patience of `epochs` and a metric that rises, so that the last epoch is the best.
        told = iter(range(1, epochs + 1))
        return fit_heads(
            train,
            val,
            head=config,
            trials=trials,
            config=FitConfig(max_epochs=epochs, patience=epochs),
            metric=lambda scores, labels: np.full(len(scores), float(next(told))),
        )

    def weights(head):
        with torch.inference_mode():
            passed = head.run(head.prepare(val)).attention
        return passed.weights, passed.rows.segments

    before, after = fit(3), fit(4)
    for trial, older, newer in zip(trials, before, after, strict=True):
        p, segments = weights(newer.head)
        several = segments.lengths > 1
        js = jensen_shannon(p, weights(older.head)[0], segments)[0, several].mean().item()
        assert newer.curves["attention_js"][3] == pytest.approx(js, rel=1e-3, abs=1e-9)
        width = normalised_entropy(p, segments)[0, several].mean().item()
        assert newer.curves["attention_entropy"][3] == pytest.approx(width, rel=1e-5)
        assert len(newer.curves["attention_js"]) == 4
        (first,) = fit_heads(train, val, head=config, trials=[trial], config=FitConfig(max_epochs=1, patience=1))
        fresh = build_head(config, dim=6, seeds=[trial.seed])
        js = jensen_shannon(weights(first.head)[0], weights(fresh)[0], segments)[0, several].mean().item()
        assert newer.curves["attention_js"][0] == pytest.approx(js, rel=1e-3, abs=1e-9)


def test_a_head_without_attention_or_anchor_has_no_such_curves(make_bags):
    train, val = (make_bags(seed=seed, signal=3.0) for seed in (0, 1))
    names = []
    for config in (MaxConfig(hidden=4), AsmilConfig(tokens=2, heads=2, hidden=8)):
        (fitted,) = fit_heads(
            train, val, head=config, trials=[TrialConfig(seed=0)], config=FitConfig(max_epochs=2, patience=2)
        )
        names.append(set(fitted.curves))
    plain = {"train_loss", "val_loss", "val_auc"}
    assert names == [plain, plain | {"attention_js", "attention_entropy", "extra_loss"}]
