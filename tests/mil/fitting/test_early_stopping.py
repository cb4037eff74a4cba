"""Early stopping of every trial: patience, best epoch, curves."""

import numpy as np
import pytest

from tilebank.errors import HeadError
from tilebank.mil.fitting.early_stopping import EarlyStopping, EpochMetrics


def epoch_metrics(metric, *, loss=None):
    losses = np.full(len(metric), 1.0) if loss is None else np.array(loss)
    return EpochMetrics(train_loss=losses, val_loss=losses, val_metric=np.array(metric, dtype=float))


def run_epochs(stopping, metrics, *, losses=None):
    """One trial, epoch by epoch; the number of epochs until it stops, or None."""
    for epoch, metric in enumerate(metrics, start=1):
        loss = None if losses is None else [losses[epoch - 1]]
        if not stopping.update(np.array([0]), epoch_metrics([metric], loss=loss)).continuing[0]:
            return epoch
    return None


def test_a_trial_stops_after_patience_epochs_without_a_gain():
    stopping = EarlyStopping(1, patience=3, min_gain=0.01)
    assert run_epochs(stopping, [0.5, 0.6, 0.6, 0.6, 0.6, 0.9]) == 5
    assert stopping.best_epoch.tolist() == [2]
    assert stopping.epochs.tolist() == [5]


def test_small_gains_do_not_reset_patience_but_move_the_best_checkpoint():
    stopping = EarlyStopping(1, patience=3, min_gain=0.01)
    assert run_epochs(stopping, [0.5, 0.504, 0.508, 0.509]) == 4
    assert stopping.best_epoch.tolist() == [4]
    assert stopping.best_metric.tolist() == [0.509]


def test_small_gains_that_add_up_to_a_gain_reset_patience():
    assert run_epochs(EarlyStopping(1, patience=3, min_gain=0.01), [0.5, 0.506, 0.512, 0.512, 0.512]) is None


def test_an_equal_metric_is_better_only_at_lower_loss():
    stopping = EarlyStopping(1, patience=9, min_gain=0.01)
    run_epochs(stopping, [0.7, 0.7, 0.7, 0.6], losses=[1.0, 0.8, 0.9, 0.1])
    assert stopping.best_epoch.tolist() == [2]


def test_a_trial_whose_loss_breaks_later_ends_with_what_it_had():
    stopping = EarlyStopping(2, patience=9, min_gain=0.01)
    stopping.update(np.array([0, 1]), epoch_metrics([0.6, 0.7]))
    decision = stopping.update(np.array([0, 1]), epoch_metrics([0.9, 0.8], loss=[np.nan, 0.5]))
    assert decision.continuing.tolist() == [False, True]
    assert decision.improved.tolist() == [False, True]
    assert stopping.best_metric.tolist() == [0.6, 0.8]


def test_a_trial_whose_loss_is_broken_from_the_start_is_named():
    with pytest.raises(HeadError, match=r"trials \[1\].*lower their lr"):
        EarlyStopping(2, patience=9, min_gain=0.01).update(
            np.array([0, 1]), epoch_metrics([0.6, 0.7], loss=[1.0, np.inf])
        )


def test_curves_hold_the_epochs_that_a_trial_ran():
    stopping = EarlyStopping(3, patience=9, min_gain=0.01)
    stopping.update(np.array([0, 1, 2]), epoch_metrics([0.1, 0.2, 0.3]))
    stopping.update(np.array([0, 2]), epoch_metrics([0.4, 0.6]))
    assert stopping.curves(1)["val_auc"].tolist() == [0.2]
    assert stopping.curves(2)["val_auc"].tolist() == [0.3, 0.6]
