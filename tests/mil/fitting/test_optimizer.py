import numpy as np
import pytest
import torch
from torch import nn

from tilebank.errors import HeadError
from tilebank.mil.fitting.optimizer import EpochFigures, Ledger, StackedAdam
from tilebank.mil.heads.parts.layers import StackedLinear, generators_of


def figures(metric, *, loss=None):
    losses = np.full(len(metric), 1.0) if loss is None else np.array(loss)
    return EpochFigures(train_loss=losses, val_loss=losses, val_metric=np.array(metric, dtype=float))


def feed(ledger, metrics, *, losses=None):
    """One trial, epoch by epoch; the number of epochs until it stops, or None."""
    for epoch, metric in enumerate(metrics, start=1):
        loss = None if losses is None else [losses[epoch - 1]]
        if not ledger.record(np.array([0]), figures([metric], loss=loss)).going_on[0]:
            return epoch
    return None


def test_each_trial_takes_the_steps_of_torch_adam_with_its_own_rates():
    lr, decay = [1e-2, 3e-3], [1e-1, 0.0]
    layer = StackedLinear(3, 2, generators=generators_of([0, 1]))
    alone = [nn.Linear(3, 2), nn.Linear(3, 2)]
    for trial, linear in enumerate(alone):
        linear.load_state_dict({"weight": layer.weight[trial].detach(), "bias": layer.bias[trial].detach()})
    theirs = [torch.optim.Adam(m.parameters(), lr=lr[t], weight_decay=decay[t]) for t, m in enumerate(alone)]
    ours = StackedAdam(layer, lr=lr, weight_decay=decay)
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    for step in range(30):
        loss = (layer(x) ** 2).mean(dim=(1, 2))
        ours.step(torch.autograd.grad(loss.sum(), list(layer.parameters())))
        if step == 9:  # going on with one trial alone changes nothing
            kept = StackedLinear(3, 2, generators=generators_of([1]))
            kept.weight.data, kept.bias.data = layer.weight.data[[1]], layer.bias.data[[1]]
            layer, ours = kept, ours.select(kept, [1])
        for linear, adam in zip(alone, theirs, strict=True):
            adam.zero_grad()
            (linear(x) ** 2).mean().backward()
            adam.step()
    torch.testing.assert_close(layer.weight[0], alone[1].weight, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(layer.bias[0], alone[1].bias, atol=1e-6, rtol=1e-5)


def test_weight_decay_shrinks_the_trial_that_has_it_and_no_other():
    layer = StackedLinear(3, 2, generators=generators_of([0, 0]))
    adam = StackedAdam(layer, lr=[1e-2, 1e-2], weight_decay=[0.1, 0.0])
    before = layer.weight.detach().clone()
    adam.step([torch.zeros_like(parameter) for parameter in layer.parameters()])
    # With no other gradient Adam's first step is the learning rate itself, towards zero.
    torch.testing.assert_close(layer.weight[0], before[0] - 1e-2 * before[0].sign())
    assert torch.equal(layer.weight[1], before[1])


def test_a_trial_stops_after_patience_epochs_without_a_gain():
    ledger = Ledger(1, patience=3, min_gain=0.01)
    assert feed(ledger, [0.5, 0.6, 0.6, 0.6, 0.6, 0.9]) == 5
    assert ledger.best_epoch.tolist() == [2]
    assert ledger.epochs.tolist() == [5]


def test_small_gains_do_not_reset_patience_but_move_the_best_checkpoint():
    ledger = Ledger(1, patience=3, min_gain=0.01)
    assert feed(ledger, [0.5, 0.504, 0.508, 0.509]) == 4
    assert ledger.best_epoch.tolist() == [4]
    assert ledger.best_metric.tolist() == [0.509]


def test_small_gains_that_add_up_to_a_gain_reset_patience():
    assert feed(Ledger(1, patience=3, min_gain=0.01), [0.5, 0.506, 0.512, 0.512, 0.512]) is None


def test_an_equal_metric_is_better_only_at_lower_loss():
    ledger = Ledger(1, patience=9, min_gain=0.01)
    feed(ledger, [0.7, 0.7, 0.7, 0.6], losses=[1.0, 0.8, 0.9, 0.1])
    assert ledger.best_epoch.tolist() == [2]


def test_a_trial_whose_loss_breaks_later_ends_with_what_it_had():
    ledger = Ledger(2, patience=9, min_gain=0.01)
    ledger.record(np.array([0, 1]), figures([0.6, 0.7]))
    verdict = ledger.record(np.array([0, 1]), figures([0.9, 0.8], loss=[np.nan, 0.5]))
    assert verdict.going_on.tolist() == [False, True]
    assert verdict.improved.tolist() == [False, True]
    assert ledger.best_metric.tolist() == [0.6, 0.8]


def test_a_trial_whose_loss_is_broken_from_the_start_is_named():
    with pytest.raises(HeadError, match=r"trials \[1\].*lower their lr"):
        Ledger(2, patience=9, min_gain=0.01).record(np.array([0, 1]), figures([0.6, 0.7], loss=[1.0, np.inf]))


def test_curves_hold_the_epochs_that_a_trial_ran():
    ledger = Ledger(3, patience=9, min_gain=0.01)
    ledger.record(np.array([0, 1, 2]), figures([0.1, 0.2, 0.3]))
    ledger.record(np.array([0, 2]), figures([0.4, 0.6]))
    assert ledger.curves(1)["val_auc"].tolist() == [0.2]
    assert ledger.curves(2)["val_auc"].tolist() == [0.3, 0.6]
