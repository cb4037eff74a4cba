"""Evaluate tasks of several labels at once: each label by itself, and the mean of their AUCs.

Every label is a yes-no question with thresholds of its own, frozen on validation; nothing is pooled over labels but
the AUC that heads are chosen by.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tilebank.errors import DatasetError
from tilebank.evaluation.intervals.bootstrap import interval_of, patients_of_rarer
from tilebank.evaluation.intervals.resampling import auc_replicates
from tilebank.evaluation.report import Evaluation, evaluate
from tilebank.evaluation.scores import Estimate, ScoredBreasts


@dataclass(frozen=True)
class LabelEvaluation:
    """What `evaluate_labels` found. val_auc and auc: the unweighted mean over the labels; labels: by name, in order."""

    seed: int
    val_auc: float
    auc: Estimate
    labels: dict[str, Evaluation]

    def as_metrics(self) -> dict[str, float]:
        """Flat names for the record of runs: `val_macro_auc`, `test_macro_auc`, ..., and `mass_test_auc`, ..."""
        figures = {"val_macro_auc": self.val_auc} | self.auc.as_metrics("test_macro_auc")
        for name, found in self.labels.items():
            figures |= {f"{name}_{key}": value for key, value in found.as_metrics().items()}
        return figures

    def as_card(self) -> dict[str, str]:
        """Entries for the head's card: the meaning of its scores, in order, and their thresholds."""
        thresholds = (found.as_card()["threshold"] for found in self.labels.values())
        return {"answers": ",".join(self.labels), "thresholds": ",".join(thresholds)}

    def as_columns(self) -> dict[str, Estimate]:
        """The test figures that a table of several searches shows."""
        return {"test macro AUC": self.auc} | {f"test AUC of {name}": found.auc for name, found in self.labels.items()}

    def as_text(self) -> str:
        """The mean AUC, then each label's own table."""
        mean = self.auc.as_line("macro AUC", f"val {self.val_auc:.3f}; mean over {len(self.labels)} labels")
        return "\n".join([mean, *(f"{name}: {found.as_text()}" for name, found in self.labels.items())])


def evaluate_labels(
    val: Mapping[str, ScoredBreasts],
    test: Mapping[str, ScoredBreasts],
    *,
    replicates: int = 2000,
    seed: int,
    level: float = 0.95,
) -> LabelEvaluation:
    """All figures of the test scores of every label, thresholds chosen on the validation scores of the same label.

    One seed: every label sees the same replicates of patients, so that their mean can be taken replicate by replicate.
    Raises DatasetError where the splits name different labels, and as `evaluate` does.
    """
    if val.keys() != test.keys() or not test:
        raise DatasetError(f"val has the labels {list(val)}, test {list(test)}; score both with one head")
    labels = {name: evaluate(val[name], test[name], replicates=replicates, seed=seed, level=level) for name in test}
    parts = [(scored.scores, scored.labels, scored.patients) for scored in test.values()]
    macro = np.mean([auc_replicates(*part, replicates=replicates, seed=seed) for part in parts], axis=0)  # (R,)
    rarest = min(patients_of_rarer(*part) for part in parts)
    return LabelEvaluation(
        seed=seed,
        val_auc=float(np.mean([found.val_auc for found in labels.values()])),
        auc=Estimate(
            float(np.mean([found.auc.value for found in labels.values()])),
            interval_of(macro, patients=rarest, level=level),
        ),
        labels=labels,
    )
