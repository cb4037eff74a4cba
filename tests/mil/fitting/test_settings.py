"""What differs between the trials of a pack; how a step is cut, which matters not; answers of several kinds."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from tilebank.errors import HeadError
from tilebank.mil.bags.bags import BagBatch
from tilebank.mil.contract.dropout import StackedDropout
from tilebank.mil.contract.outputs import Outputs
from tilebank.mil.fitting.fit import FitConfig, TrialConfig, fit_heads
from tilebank.mil.heads.dual_stream import DualStreamConfig
from tilebank.mil.heads.registry import build_head, load_head, save_head, score_bags

TRIALS = [
    TrialConfig(seed=0, lr=1e-2, dropout=0.3),
    TrialConfig(seed=1, lr=5e-3, dropout=0.0),
    TrialConfig(seed=2, lr=5e-3, dropout=0.5, positive_weight=3.0),
]
WIDE = {"dim": 600, "breasts": 40, "signal": 30.0}  # 1 MB is small for these


@pytest.fixture
def fit(make_bags):
    def run(trials, *, epochs=25, train=None, val=None, head=None, outputs=None, **settings):
        return fit_heads(
            make_bags(seed=0, signal=3.0) if train is None else train,
            make_bags(seed=1, signal=3.0) if val is None else val,
            head=head or DualStreamConfig(),
            trials=trials,
            config=FitConfig(max_epochs=epochs, patience=1000, **settings),
            outputs=outputs or Outputs(),
        )

    return run


def assert_equal_fits(ours, theirs, *, atol=1e-4):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.curves["train_loss"], b.curves["train_loss"], atol=atol)
        np.testing.assert_allclose(a.curves["val_loss"], b.curves["val_loss"], atol=atol)


@pytest.mark.parametrize("batch", [0, 10])
def test_a_head_with_dropout_and_its_own_weight_in_a_pack_equals_the_same_head_alone(fit, batch):
    together = fit(TRIALS, batch=batch)
    for trial, packed in zip(TRIALS, together, strict=True):
        assert_equal_fits(fit([trial], batch=batch), [packed])
        assert packed.trial == trial


@pytest.mark.parametrize("batch", [0, 10])
def test_a_fixed_seed_repeats_bit_by_bit_with_dropout_and_mini_batches(fit, batch):
    for first, second in zip(fit(TRIALS, batch=batch), fit(TRIALS, batch=batch), strict=True):
        pairs = zip(first.head.parameters(), second.head.parameters(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


def test_dropout_changes_the_fit_of_the_trial_that_has_it_alone(fit):
    plain = fit([replace(trial, dropout=0.0) for trial in TRIALS])
    with_dropout = fit(TRIALS)
    moved = [
        np.abs(a.curves["train_loss"] - b.curves["train_loss"]).max() for a, b in zip(plain, with_dropout, strict=True)
    ]
    assert moved[0] > 1e-2
    assert moved[1] < 1e-4
    assert moved[2] > 1e-2


def test_masks_are_independent_between_trials_and_steps_and_keep_the_mean():
    dropout = StackedDropout([0.25, 0.25, 0.0], seeds=[0, 1, 2], width=16, device=torch.device("cpu"))
    first, second = dropout.sample(4000), dropout.sample(4000)
    assert first[:2].unique().tolist() == pytest.approx([0.0, 1 / 0.75])
    assert (first[2] == 1).all()
    torch.testing.assert_close(first.mean(dim=(1, 2)), torch.ones(3), atol=0.02, rtol=0)
    for one, other in ((first[0], first[1]), (first[0], second[0])):
        both = torch.stack([one.flatten(), other.flatten()]).corrcoef()[0, 1]
        assert abs(both.item()) < 0.02
    assert StackedDropout([0.0, 0.0], seeds=[0, 1], width=4, device=torch.device("cpu")).sample(3) is None


def test_scoring_knows_no_dropout(fit, make_bags):
    (fitted,) = fit([TRIALS[2]])
    bags = make_bags(seed=1, signal=3.0)
    assert np.array_equal(score_bags(fitted.head, bags), score_bags(fitted.head, bags))


def test_the_positive_weight_of_a_trial_is_that_of_torch(fit, make_bags):
    train = make_bags(seed=0, signal=3.0)
    fitted = fit([TrialConfig(seed=0, positive_weight=5.0), TrialConfig(seed=0)], epochs=1, train=train)
    logits = build_head(DualStreamConfig(), dim=6, seeds=[0])(train)[0]
    for weight, ours in ((5.0, fitted[0]), (1.0, fitted[1])):
        criterion = torch.nn.BCEWithLogitsLoss(pos_weight=torch.tensor(weight))
        assert ours.curves["train_loss"][0] == pytest.approx(criterion(logits, train.labels).item(), abs=1e-5)


@pytest.mark.parametrize("training", ["breast", "instance"])
def test_a_full_batch_in_pieces_is_the_same_full_batch(fit, make_bags, training):
    train, val = make_bags(seed=0, **WIDE), make_bags(seed=1, **WIDE)
    head = (
        DualStreamConfig()
        if training == "breast"
        else DualStreamConfig(view_pooling="none", tile_pooling="max", training="instance")
    )
    whole = fit(TRIALS, train=train, val=val, head=head)
    cut = fit(TRIALS[:1], train=train, val=val, head=head, memory_mb=1)
    assert whole[0].plan.pieces == 1
    assert whole[0].plan.resident
    assert cut[0].plan.pieces > 1
    assert_equal_fits(cut, whole[:1])


def test_features_that_do_not_fit_are_sent_and_give_the_same_fit(fit, make_bags):
    wide = {**WIDE, "breasts": 200}
    train, val = make_bags(seed=0, **wide), make_bags(seed=1, **wide)
    sent = fit(TRIALS, epochs=5, train=train, val=val, memory_mb=2)
    assert not sent[0].plan.resident
    assert sent[0].plan.pieces > 3
    assert_equal_fits(sent, fit(TRIALS, epochs=5, train=train, val=val))


def test_mini_batches_are_the_same_whether_features_stay_or_are_sent(fit, make_bags):
    wide = {**WIDE, "breasts": 200}
    train, val = make_bags(seed=0, **wide), make_bags(seed=1, **wide)
    stay = fit(TRIALS, epochs=3, train=train, val=val, batch=50)
    sent = fit(TRIALS, epochs=3, train=train, val=val, batch=50, memory_mb=2)
    assert stay[0].plan.steps == sent[0].plan.steps == 4
    assert (stay[0].plan.resident, sent[0].plan.resident) == (True, False)
    assert_equal_fits(stay, sent)


def test_the_order_of_mini_batches_follows_its_seed(fit):
    trial = [TrialConfig(seed=0, lr=1e-2)]
    first, other = (fit(trial, batch=8, order_seed=seed)[0].curves["train_loss"] for seed in (0, 1))
    assert np.abs(first - other).max() > 1e-3


def test_mini_batches_have_the_full_batch_s_loss_in_expectation(fit, make_bags):
    train = make_bags(seed=0, signal=3.0)
    train = replace(train, labels=(train.labels == 1).float() * (torch.arange(24) % 3 > 0))  # weights count
    still = [TrialConfig(seed=0, lr=1e-12)]  # no step moves it, so an epoch's batches are one partition
    losses = [fit(still, epochs=1, train=train, batch=batch)[0].curves["train_loss"][0] for batch in (0, 8, 5, 1)]
    np.testing.assert_allclose(losses, losses[0], rtol=1e-5)


def test_stored_half_and_bfloat_are_fitted_as_their_float32_values(fit, make_bags):
    train, val = make_bags(seed=0, signal=3.0), make_bags(seed=1, signal=3.0)
    for dtype in (torch.float16, torch.bfloat16):
        stored = [as_type(as_type(part, dtype), dtype) for part in (train, val)]
        exact = [as_type(part, torch.float32) for part in stored]
        assert_equal_fits(
            fit(TRIALS, epochs=10, train=stored[0], val=stored[1]), fit(TRIALS, epochs=10, train=exact[0], val=exact[1])
        )


def as_type(bags, dtype):
    return replace(bags, view_features=bags.view_features.to(dtype), tile_features=bags.tile_features.to(dtype))


@pytest.mark.parametrize(("stream", "pooling"), [("view", "mean"), ("tile", "max")])
def test_fitting_instances_equals_bags_of_one_and_pools_their_logits(fit, make_bags, stream, pooling):
    train, val = make_bags(seed=0, signal=3.0), make_bags(seed=1, signal=3.0)
    poolings = {"view_pooling": "none", "tile_pooling": "none", f"{stream}_pooling": pooling}
    trial = [TrialConfig(seed=3, lr=1e-2)]
    (fitted,) = fit(trial, train=train, val=val, head=DualStreamConfig(training="instance", **poolings))
    bags_of_one = exploded(train, stream)
    (single,) = fit(trial, train=bags_of_one, val=val, head=DualStreamConfig(**poolings), class_weight="none")
    assert train.labels.mean() == 0.5  # so that the balance of breasts is a weight of one
    np.testing.assert_allclose(fitted.curves["train_loss"], single.curves["train_loss"], atol=1e-4)

    last, offsets = fitted.head, getattr(val, f"{stream}_offsets")
    with torch.inference_mode():
        own = last.instance_logits(last.prepare(val))[0]
        reduce = torch.mean if pooling == "mean" else torch.max
        expected = torch.stack([reduce(own[a:b]) for a, b in pairwise(offsets)])
        torch.testing.assert_close(last(val)[0], expected, atol=1e-6, rtol=1e-5)
    assert len(own) == offsets[-1]


def exploded(bags, stream):
    """Every instance of one kind as a breast of its own, with its breast's label."""
    features, offsets = getattr(bags, f"{stream}_features"), getattr(bags, f"{stream}_offsets")
    singles, none = torch.arange(len(features) + 1), torch.zeros(len(features) + 1, dtype=torch.int64)
    other = "tile" if stream == "view" else "view"
    return BagBatch(
        **{f"{stream}_features": features, f"{stream}_offsets": singles},
        **{f"{other}_features": features[:0], f"{other}_offsets": none},
        labels=bags.labels.repeat_interleave(offsets.diff()),
        breast_ids=tuple(str(place) for place in range(len(features))),
    )


@pytest.mark.parametrize(
    ("views", "tiles"), [("max", "max"), ("none", "attention"), ("mean", "mean"), ("attention", "none")]
)
def test_instances_are_fitted_with_one_stream_and_a_plain_pooling_only(views, tiles):
    with pytest.raises(HeadError, match="takes one stream pooled by mean or max"):
        DualStreamConfig(view_pooling=views, tile_pooling=tiles, training="instance")


def density_bags(make_bags, *, seed, breasts=90):
    """Three classes, each moving all tiles along an axis of its own."""
    bags = make_bags(seed=seed, breasts=breasts, dim=8, dtype="float32")
    classes = torch.arange(breasts) % 3
    moved = bags.tile_features.clone()
    moved[torch.arange(len(moved)), classes.repeat_interleave(bags.tile_offsets.diff())] += 2.0
    return replace(bags, tile_features=moved, labels=classes.float())


def test_classes_are_learned_packed_as_alone_and_scored_by_the_softmax(fit, make_bags, tmp_path):
    train, val = density_bags(make_bags, seed=0), density_bags(make_bags, seed=1)
    trials, outputs = [TrialConfig(seed=s, lr=1e-2) for s in range(3)], Outputs("multiclass", 3)
    fitted = fit(trials, epochs=80, train=train, val=val, outputs=outputs)
    assert max(head.best_val_auc for head in fitted) > 0.9
    assert_equal_fits(fit(trials[1:2], epochs=80, train=train, val=val, outputs=outputs), fitted[1:2])
    head = fitted[0].head
    scores = score_bags(head, val)
    assert scores.shape == (1, 90, 3)
    np.testing.assert_allclose(scores.sum(axis=2), 1)
    save_head(head, tmp_path)
    again = load_head(tmp_path).head
    assert again.outputs == outputs
    assert np.array_equal(score_bags(again, val), scores)


def test_several_labels_are_learned_each_for_itself(fit, make_bags):
    def two_labels(seed):
        bags = density_bags(make_bags, seed=seed)
        return replace(bags, labels=torch.stack([bags.labels == 0, bags.labels != 1], dim=1).float())

    train, val = two_labels(0), two_labels(1)
    fitted = fit([TrialConfig(seed=0, lr=1e-2)], epochs=80, train=train, val=val, outputs=Outputs("multilabel", 2))
    scores = score_bags(fitted[0].head, val)[0]
    assert fitted[0].best_val_auc > 0.9
    for label in range(2):
        assert scores[val.labels[:, label] == 1, label].mean() > scores[val.labels[:, label] == 0, label].mean() + 0.2


def test_two_classes_learn_what_a_yes_no_head_learns(fit, make_bags):
    train, val = (make_bags(seed=s, breasts=80, dim=8, signal=6.0) for s in (0, 1))
    trials = [TrialConfig(seed=s, lr=1e-2) for s in range(2)]
    for outputs in (Outputs(), Outputs("multiclass", 2)):
        fitted = fit(trials, epochs=150, train=train, val=val, outputs=outputs)
        assert max(head.best_val_auc for head in fitted) > 0.9


def test_labels_are_as_wide_as_the_head_s_answer(fit, make_bags):
    with pytest.raises(HeadError, match="reach 2; a binary head takes 0 and 1"):
        fit(TRIALS, train=density_bags(make_bags, seed=0), val=density_bags(make_bags, seed=1))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: TrialConfig(seed=1, dropout=1.0), "dropout 1.0 must be at least 0"),
        (lambda: TrialConfig(seed=1, positive_weight=0.0), "positive_weight 0.0 must be above 0"),
        (lambda: FitConfig(batch=-1), "batch -1"),
        (lambda: DualStreamConfig(training="tile"), "no training 'tile'"),
    ],
)
def test_settings_that_cannot_work_are_refused(build, message):
    with pytest.raises(HeadError, match=message):
        build()
