import numpy as np
import pytest

from tilebank.errors import DatasetError
from tilebank.evaluation.trial_quantiles import summarise_trials


def test_quantiles_of_a_hand_worked_case_leave_diverged_trials_out() -> None:
    spread = summarise_trials(np.array([0.7, np.nan, 0.9, 0.8, 0.6, 0.5]))
    assert (spread.trials, spread.diverged) == (6, 1)
    quantiles = (spread.lowest, spread.quarter, spread.median, spread.three_quarters, spread.highest)
    assert quantiles == pytest.approx((0.5, 0.6, 0.7, 0.8, 0.9))
    assert spread.mean == pytest.approx(0.7)
    assert spread.deviation == pytest.approx(np.sqrt(0.1 / 4))


def test_metrics_are_flat_plain_numbers() -> None:
    figures = summarise_trials(np.array([0.7, 0.9])).as_metrics()
    assert {type(value) for value in figures.values()} == {float}
    assert figures["trials"] == 2
    assert figures["trials_val_auc_median"] == pytest.approx(0.8)


def test_one_trial_has_no_deviation_and_none_raise() -> None:
    assert summarise_trials(np.array([0.7])).deviation == 0
    with pytest.raises(DatasetError, match="all 2 trials diverged"):
        summarise_trials(np.array([np.nan, np.nan]))
