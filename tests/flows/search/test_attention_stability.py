"""How steady attention was: which epochs and which heads count."""

import numpy as np
import pytest

from tilebank.flows.search.attention_stability import OF_SEARCH, OF_TRIAL, late_attention_js, median_attention_js


def curves(*js: float) -> dict[str, np.ndarray]:
    return {"val_auc": np.ones(len(js)), "attention_js": np.array(js)}


def test_the_later_half_of_the_epochs_counts_the_middle_one_with_it() -> None:
    assert late_attention_js(curves(9, 8, 0.2, 0.4)) == {OF_TRIAL: pytest.approx(0.3)}
    assert late_attention_js(curves(9, 0.6, 0.2)) == {OF_TRIAL: pytest.approx(0.4)}
    assert late_attention_js(curves(0.7)) == {OF_TRIAL: 0.7}


def test_a_search_has_the_median_of_its_trials_however_long_each_ran() -> None:
    trials = [curves(9, 0.1), curves(9, 9, 0.5, 0.5), curves(0.2)]
    assert median_attention_js(trials) == {OF_SEARCH: 0.2}


def test_heads_without_attention_have_no_figure() -> None:
    plain = {"val_auc": np.ones(3)}
    assert late_attention_js(plain) == {}
    assert median_attention_js([plain, plain]) == {}
