"""Run DeLong's test of two AUCs on the same breasts, through MLstatkit.

DeLong, DeLong & Clarke-Pearson, Biometrics 44:837 (1988), in the fast form of Sun & Xu, IEEE Signal Processing Letters
21:1389 (2014), as MLstatkit computes it. It takes breasts as independent. Those of one patient are not: the p-value is
then too small or too large, and the patient bootstrap of `paired` is the one to go by.
"""

from dataclasses import dataclass

import numpy as np

from tilebank.errors import DatasetError
from tilebank.evaluation.metrics import Labels, Scores, positives_of


@dataclass(frozen=True)
class DeLong:
    """AUC of the first minus AUC of the second, its standard error, and the two-sided p-value of no difference.

    Where no breast changes its place between the two, the error is 0; the p-value is then 1 for equal AUCs and NaN for
    different ones.
    """

    difference: float
    standard_error: float
    p_value: float


def delong_test(first: Scores, second: Scores, labels: Labels) -> DeLong:
    """The test on scores (B,) of two heads for the same breasts.

    Raises DatasetError for what has no ROC, for less than two breasts of a class, and for scores that do not match.
    """
    positive = positives_of(first, labels)
    positives_of(second, labels)
    if min(int(positive.sum()), int((~positive).sum())) < 2:
        raise DatasetError("DeLong's test needs two breasts of each class or more; use the patient bootstrap")
    from MLstatkit import Delong_test

    # Where the variance is 0 the library turns to a bootstrap of its own, of rows: kept small, and not used.
    _, p_value, _, _, first_auc, second_auc, info = Delong_test(
        positive.astype(int), first, second, n_boot=100, random_state=0
    )
    difference = first_auc - second_auc
    if info["method"] != "delong":
        return DeLong(difference, 0.0, 1.0 if abs(difference) < 1e-12 else float("nan"))
    return DeLong(difference, float(np.sqrt(info["var_diff"])), float(p_value))
