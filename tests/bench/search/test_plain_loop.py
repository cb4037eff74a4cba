"""The plain loop that packs are timed against gives what packs give."""

import numpy as np
import pytest

from tilebank.bench.search.plain_loop import fit_plain
from tilebank.mil.fitting.fit import FitConfig, TrialConfig, fit_heads
from tilebank.mil.heads.dual_stream import DualStreamConfig

CONFIG = FitConfig(max_epochs=60, patience=5)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_head_fitted_by_itself_takes_the_course_of_a_head_in_a_pack(make_bags, roc_auc, seed):
    train, val = make_bags(seed=0, signal=3.0), make_bags(seed=1, signal=3.0)
    trials = [TrialConfig(seed=place, lr=5e-3) for place in range(3)]
    packed = fit_heads(train, val, head=DualStreamConfig(), trials=trials, config=CONFIG, metric=roc_auc)[seed]
    alone = fit_plain(train, val, trial=trials[seed], config=CONFIG, metric=roc_auc, rescore=None)
    assert alone.best_epoch == packed.best_epoch
    assert alone.best_val_auc == packed.best_val_auc
    assert set(alone.curves) == {"train_loss", "val_loss", "val_auc"}
    for name, curve in alone.curves.items():
        np.testing.assert_allclose(packed.curves[name], curve, atol=1e-4)
    assert len(alone.epoch_s) == packed.epochs


def test_both_splits_are_scored_anew_each_epoch_where_asked(make_bags, roc_auc):
    train, val = make_bags(seed=0), make_bags(seed=1)
    seen = []
    config = FitConfig(max_epochs=3, patience=3)
    fit = fit_plain(
        train,
        val,
        trial=TrialConfig(seed=0),
        config=config,
        metric=roc_auc,
        rescore=lambda scores, labels: seen.append((scores, labels)),
    )
    assert len(seen) == 2 * len(fit.epoch_s)
    for (of_train, truth), (of_val, val_truth) in zip(seen[::2], seen[1::2], strict=True):
        assert (len(of_train), len(of_val)) == (len(train), len(val))
        assert truth.tolist() == train.labels.tolist()
        assert val_truth.tolist() == val.labels.tolist()
    assert not np.array_equal(seen[0][0], seen[2][0])  # after a step, not before it
