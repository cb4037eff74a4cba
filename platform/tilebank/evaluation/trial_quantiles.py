"""Summarise the validation AUCs of a search's trials."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilebank.errors import DatasetError


@dataclass(frozen=True)
class TrialSummary:
    """The validation AUCs of a search: count, moments and quantiles; `diverged` trials have none and are not in them.

    The highest of many is chosen, so it is optimistic; median and quartiles say what a single trial would have given.
    """

    trials: int
    diverged: int
    mean: float
    deviation: float
    lowest: float
    quarter: float
    median: float
    three_quarters: float
    highest: float

    def as_metrics(self) -> dict[str, float]:
        """Flat names for the record of runs: `trials_val_auc_median`, ..."""
        figures = asdict(self)
        counts = {"trials": float(figures.pop("trials")), "trials_diverged": float(figures.pop("diverged"))}
        return counts | {f"trials_val_auc_{name}": value for name, value in figures.items()}


def summarise_trials(val_aucs: NDArray[np.floating[Any]]) -> TrialSummary:
    """The spread of validation AUCs (T,), NaN for a trial that diverged.

    Standard deviation with T - 1; quantiles interpolate linearly between trials (Hyndman & Fan, American Statistician
    50:361, 1996, type 7). Raises DatasetError when every trial diverged.
    """
    known = val_aucs[~np.isnan(val_aucs)].astype(np.float64)
    if not known.size:
        raise DatasetError(f"all {val_aucs.size} trials diverged; lower the learning rate")
    quantiles = [float(value) for value in np.quantile(known, [0, 0.25, 0.5, 0.75, 1])]
    deviation = float(known.std(ddof=1)) if known.size > 1 else 0.0
    return TrialSummary(val_aucs.size, val_aucs.size - known.size, float(known.mean()), deviation, *quantiles)
