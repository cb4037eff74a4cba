import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from tilebank.errors import HeadError
from tilebank.mil.bags.bags import BagBatch
from tilebank.mil.fitting.fit import FitConfig, TrialConfig, fit_heads
from tilebank.mil.heads.dual_stream import DualStreamConfig
from tilebank.mil.heads.registry import build_head

TRIALS = [
    TrialConfig(seed=s, lr=lr, weight_decay=wd) for s, lr, wd in ((0, 1e-2, 1e-4), (1, 2e-3, 0.0), (2, 5e-3, 1e-2))
]


@pytest.fixture
def fit(make_bags, roc_auc):
    def run(trials, *, epochs=50, patience=1000, head=None, train=None, val=None, **settings):
        return fit_heads(
            make_bags(seed=0, signal=3.0) if train is None else train,
            make_bags(seed=1, signal=3.0) if val is None else val,
            head=head or DualStreamConfig(),
            trials=trials,
            config=FitConfig(max_epochs=epochs, patience=patience, **settings),
            metric=roc_auc,
        )

    return run


def relabelled(bags, labels):
    return replace(bags, labels=torch.as_tensor(labels, dtype=torch.float32))


@pytest.mark.parametrize("class_weight", ["balanced", "none"])
def test_every_head_of_a_pack_equals_a_plain_torch_loop(fit, make_bags, plain_dual_stream, class_weight):
    train, val = make_bags(seed=0, signal=3.0), make_bags(seed=1, signal=3.0)
    train = relabelled(train, (train.labels == 1) & (torch.arange(24) % 3 > 0))  # unbalanced, so that the weight counts
    fitted = fit(TRIALS, epochs=50, train=train, val=val, class_weight=class_weight)
    negatives, positives = (train.labels == 0).sum(), (train.labels == 1).sum()
    weight = negatives / positives if class_weight == "balanced" else torch.ones(())
    assert negatives > 1.5 * positives
    criterion = torch.nn.BCEWithLogitsLoss(pos_weight=weight)
    for trial, ours in zip(TRIALS, fitted, strict=True):
        plain = plain_dual_stream(build_head(DualStreamConfig(), dim=6, seeds=[trial.seed]))
        adam = torch.optim.Adam(plain.parameters(), lr=trial.lr, weight_decay=trial.weight_decay)
        losses, logits = [], {}
        for epoch in range(1, 51):
            adam.zero_grad()
            loss = criterion(plain(train), train.labels)
            loss.backward()
            adam.step()
            with torch.inference_mode():
                logits[epoch] = plain(val)
            losses.append((loss.item(), criterion(logits[epoch], val.labels).item()))
        np.testing.assert_allclose(ours.curves["train_loss"], [a for a, _ in losses], atol=1e-4)
        np.testing.assert_allclose(ours.curves["val_loss"], [b for _, b in losses], atol=1e-4)
        torch.testing.assert_close(ours.head(val)[0], logits[ours.best_epoch], atol=1e-4, rtol=1e-4)


def test_a_head_in_a_pack_equals_the_same_head_alone(fit, make_bags):
    bags = make_bags(seed=1, signal=3.0)
    together = fit(TRIALS)
    for trial, packed in zip(TRIALS, together, strict=True):
        (alone,) = fit([trial])
        assert alone.best_epoch == packed.best_epoch
        np.testing.assert_allclose(alone.curves["val_loss"], packed.curves["val_loss"], atol=1e-4)
        torch.testing.assert_close(alone.head(bags), packed.head(bags), atol=1e-4, rtol=1e-4)


def test_the_same_pack_repeats_bit_by_bit(fit):
    for first, second in zip(fit(TRIALS, patience=5), fit(TRIALS, patience=5), strict=True):
        assert first.best_epoch == second.best_epoch
        assert all(np.array_equal(first.curves[name], second.curves[name]) for name in first.curves)
        pairs = zip(first.head.parameters(), second.head.parameters(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_pack_on_a_gpu_equals_the_same_pack_on_the_cpu(fit, make_bags):
    train, val = make_bags(seed=0, signal=3.0), make_bags(seed=1, signal=3.0)
    on_gpu = fit(TRIALS, patience=20, train=train.to("cuda"), val=val.to("cuda"), tf32=False)
    for cpu, gpu in zip(fit(TRIALS, patience=20), on_gpu, strict=True):
        np.testing.assert_allclose(gpu.curves["val_loss"], cpu.curves["val_loss"], atol=1e-3)
        torch.testing.assert_close(gpu.head(val.to("cuda")).cpu(), cpu.head(val), atol=1e-3, rtol=1e-3)


def test_heads_that_are_done_leave_and_do_not_disturb_the_rest(make_bags, roc_auc, fit):
    seen = []
    patient = fit_heads(
        make_bags(seed=0, signal=3.0),
        make_bags(seed=1, signal=3.0),
        head=DualStreamConfig(),
        trials=[*TRIALS, TrialConfig(seed=9, lr=1e-9)],  # the last one never gains: it leaves first
        config=FitConfig(max_epochs=60, patience=8),
        metric=roc_auc,
        progress=seen.append,
    )
    assert seen[0].active == (0, 1, 2, 3)
    assert seen[8].active == (0, 1, 2, 3)
    assert 3 not in seen[9].active  # first epoch, then 8 without a gain
    assert len(seen[9].active) > 0
    assert [head.epochs for head in patient] == [sum(place in epoch.active for epoch in seen) for place in range(4)]
    for trial, left_with_others in zip(TRIALS, patient, strict=False):
        (alone,) = fit([trial], epochs=60, patience=8)
        assert alone.epochs == left_with_others.epochs == len(left_with_others.curves["val_auc"])
        np.testing.assert_allclose(alone.curves["val_loss"], left_with_others.curves["val_loss"], atol=1e-4)


def test_the_returned_head_is_the_best_checkpoint_and_not_the_last(fit, make_bags, roc_auc):
    val = make_bags(seed=1, signal=3.0)
    earlier = 0
    for fitted in fit(TRIALS, epochs=80):
        with torch.inference_mode():
            scores = fitted.head(val).sigmoid().double().numpy()
        auc = roc_auc(scores, val.labels.numpy().astype(int))[0]
        assert auc == pytest.approx(fitted.best_val_auc)
        assert fitted.best_val_auc == fitted.curves["val_auc"].max() == fitted.curves["val_auc"][fitted.best_epoch - 1]
        earlier += fitted.best_epoch < fitted.epochs
    assert earlier > 0


def test_one_positive_tile_in_a_bag_is_learned(fit, make_bags):
    train, val = (make_bags(seed=s, breasts=80, dim=8, signal=6.0) for s in (0, 1))
    fitted = fit([TrialConfig(seed=s, lr=1e-2) for s in range(4)], epochs=300, patience=60, train=train, val=val)
    assert max(head.best_val_auc for head in fitted) > 0.95


def test_shuffled_labels_teach_nothing_that_holds_on_other_breasts(fit, make_bags, roc_auc):
    train, val, held_out = (make_bags(seed=s, breasts=80, dim=8, signal=6.0) for s in (0, 1, 2))
    shuffled = relabelled(train, np.random.default_rng(0).permutation(train.labels.numpy()))
    shuffled_val = relabelled(val, np.random.default_rng(1).permutation(val.labels.numpy()))
    trials = [TrialConfig(seed=s, lr=1e-2) for s in range(4)]
    truth = held_out.labels.numpy().astype(int)
    for train_split, val_split, low, high in ((train, val, 0.9, 1.0), (shuffled, shuffled_val, 0.2, 0.8)):
        fitted = fit(trials, epochs=300, patience=60, train=train_split, val=val_split)
        best = max(fitted, key=lambda head: head.best_val_auc)
        with torch.inference_mode():
            auc = roc_auc(best.head(held_out).sigmoid().double().numpy(), truth)[0]
        assert low <= auc <= high


def test_a_split_with_one_class_or_no_labels_is_refused_with_its_counts(fit, make_bags):
    bags = make_bags(seed=0)
    with pytest.raises(HeadError, match="train split has 0 positive and 24 negative"):
        fit(TRIALS, train=relabelled(bags, np.zeros(24)))
    with pytest.raises(HeadError, match="val split has 24 positive and 0 negative"):
        fit(TRIALS, val=relabelled(bags, np.ones(24)))
    with pytest.raises(HeadError, match="val split has no labels"):
        fit(TRIALS, val=replace(bags, labels=None))


def test_vectors_that_are_not_finite_are_refused(fit, make_bags):
    bags = make_bags(seed=0)
    broken = bags.tile_features.clone()
    broken[0, 0] = math.nan
    poisoned = BagBatch(bags.view_features, bags.view_offsets, broken, bags.tile_offsets, bags.labels, bags.breast_ids)
    with pytest.raises(HeadError, match="tile vector of breast exam0_L is not finite"):
        fit(TRIALS, train=poisoned)


def test_a_metric_of_the_wrong_shape_is_refused(make_bags):
    with pytest.raises(HeadError, match=r"metric returned shape \(\) for 3 heads"):
        fit_heads(
            make_bags(seed=0),
            make_bags(seed=1),
            head=DualStreamConfig(),
            trials=TRIALS,
            config=FitConfig(max_epochs=1),
            metric=lambda scores, labels: np.float64(0.5),
        )


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: TrialConfig(seed=1, lr=0.0), "lr 0.0 must be above 0"),
        (lambda: TrialConfig(seed=1, weight_decay=-1.0), "weight_decay -1.0"),
        (lambda: FitConfig(patience=0), "patience 0"),
        (lambda: FitConfig(class_weight="equal"), "no class_weight 'equal'"),
    ],
)
def test_settings_that_cannot_work_are_refused(build, message):
    with pytest.raises(HeadError, match=message):
        build()
