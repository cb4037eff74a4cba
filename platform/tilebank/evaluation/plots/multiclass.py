"""Plot heads with several outputs: one ROC curve per class or label, and the confusion matrix.

Every function returns a Figure; the caller saves it.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from tilebank.errors import DatasetError
from tilebank.evaluation.metrics import Labels, Scores, roc_curve
from tilebank.evaluation.multiclass import ClassEvaluation
from tilebank.evaluation.plots.style import DASHES, LIGHT, PALETTE, open_figure
from tilebank.evaluation.scores import Estimate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DARK = 0.55  # share from which a cell's numbers are white


def answers_roc_figure(
    answers: Mapping[str, tuple[Scores, Labels]], aucs: Mapping[str, Estimate], *, title: str = ""
) -> "Figure":
    """The exact ROC of each answer's test scores against all other breasts, with its AUC and interval."""
    if answers.keys() != aucs.keys() or not answers:
        raise DatasetError(f"scores of {list(answers)} and AUCs of {list(aucs)}; pass both for each answer")
    figure, axes = open_figure(5.4, title)
    for place, (name, (scores, labels)) in enumerate(answers.items()):
        curve = roc_curve(scores, labels)
        axes.plot(
            np.append(0.0, curve.false_positives / curve.negatives),
            np.append(0.0, curve.true_positives / curve.positives),
            color=PALETTE[place % len(PALETTE)],
            linestyle=("-", "--", ":")[place // len(PALETTE) % 3],
            linewidth=2,
            label=f"{name}: AUC {aucs[name].as_text()}, {curve.positives} breasts",
        )
    axes.plot([0, 1], [0, 1], color=LIGHT, linewidth=1, linestyle=DASHES, zorder=0)
    axes.set(xlim=(-0.015, 1.015), ylim=(-0.015, 1.015), aspect="equal")
    axes.set(xlabel="1 − specificity (false positive rate)", ylabel="sensitivity (true positive rate)")
    axes.legend(loc="lower right", frameon=False, fontsize=9.5)
    return figure


def confusion_figure(evaluation: ClassEvaluation, *, title: str = "") -> "Figure":
    """Test breasts by true and predicted class: counts, and their shares of the true class, which colour the cells."""
    counts = np.asarray(evaluation.confusion)  # (C, C) true, predicted
    shares = counts / counts.sum(axis=1, keepdims=True)
    figure, axes = open_figure(5.4, title)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (true, predicted), count in np.ndenumerate(counts):
        share = shares[true, predicted]
        colour = "white" if share >= _DARK else "black"
        axes.text(predicted, true, f"{count}\n{share:.0%}", ha="center", va="center", color=colour, fontsize=10)
    places = range(len(counts))
    sizes = counts.sum(axis=1)
    axes.set_xticks(places, list(evaluation.classes))
    axes.set_yticks(places, [f"{name} ({size})" for name, size in zip(evaluation.classes, sizes, strict=True)])
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(length=0)
    kappa = evaluation.quadratic_kappa.as_text()
    axes.set(ylabel="true class (test breasts)", xlabel=f"class of the highest score\nquadratic kappa {kappa}")
    return figure
