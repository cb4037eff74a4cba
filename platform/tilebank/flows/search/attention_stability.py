"""Measure how stable attention was while heads were fitted: one number a head, and one a search.

Only the later half of the epochs counts, since attention has to change in the earlier one. Compare it only between
heads of one recipe: it depends on the learning rate and on the steps in an epoch.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Curves = Mapping[str, NDArray[np.float64]]

CURVE = "attention_js"
OF_TRIAL = f"late_{CURVE}"  # the metric of one trial
OF_SEARCH = f"trials_{OF_TRIAL}_median"  # and of its search


def late_attention_js(curves: Curves) -> dict[str, float]:
    """The mean of `attention_js` over the later half of the epochs, as a metric; none for a head without attention."""
    if CURVE not in curves:
        return {}
    curve = curves[CURVE]
    return {OF_TRIAL: float(curve[len(curve) // 2 :].mean())}


def median_attention_js(trials: Sequence[Curves]) -> dict[str, float]:
    """The median of that over the trials of a search, as a metric; none where they have no attention."""
    found = [value for curves in trials for value in late_attention_js(curves).values()]
    return {OF_SEARCH: float(np.median(found))} if found else {}
