"""Draw the figures of a champion's test scores; which ones depends on the kind of task."""

from typing import TYPE_CHECKING

from tilebank.evaluation.multiclass import ClassEvaluation
from tilebank.evaluation.multilabel import LabelEvaluation
from tilebank.evaluation.plots.classification import calibration_figure, roc_figure
from tilebank.evaluation.plots.forest import forest_figure
from tilebank.evaluation.plots.multiclass import answers_roc_figure, confusion_figure
from tilebank.evaluation.report import Evaluation
from tilebank.flows.search.evaluate import ScoredSplits

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def champion_figures(scored: ScoredSplits, *, title: str) -> "dict[str, Figure]":
    """By name. Yes-no: `roc`, `calibration`, and `subgroups` where one has figures. Classes: `roc`, `confusion`.
    Labels: `roc`, and `calibration_<label>` for each.
    """
    found = scored.evaluation
    if isinstance(found, ClassEvaluation):
        return _of_classes(scored, found, title=title)
    if isinstance(found, LabelEvaluation):
        return _of_labels(scored, found, title=title)
    return _of_yes_no(scored, found, title=title)


def _of_yes_no(scored: ScoredSplits, found: Evaluation, *, title: str) -> "dict[str, Figure]":
    test = scored.test.as_yes_no()
    figures = {"roc": roc_figure(test, found, title=title), "calibration": calibration_figure(test, found, title=title)}
    if any(part.auc for part in scored.subgroups):
        figures["subgroups"] = forest_figure(scored.subgroups, found.auc, title=title)
    return figures


def _of_classes(scored: ScoredSplits, found: ClassEvaluation, *, title: str) -> "dict[str, Figure]":
    test = scored.test
    against = {name: (test.scores[:, at], test.labels == at) for at, name in enumerate(found.classes)}
    aucs = dict(zip(found.classes, found.class_aucs, strict=True))
    return {
        "roc": answers_roc_figure(against, aucs, title=title),
        "confusion": confusion_figure(found, title=title),
    }


def _of_labels(scored: ScoredSplits, found: LabelEvaluation, *, title: str) -> "dict[str, Figure]":
    tests = scored.test.as_labels(tuple(found.labels))
    curves = {name: (test.scores, test.labels) for name, test in tests.items()}
    aucs = {name: label.auc for name, label in found.labels.items()}
    calibration = {
        f"calibration_{name}": calibration_figure(test, found.labels[name], title=f"{name}: {title}")
        for name, test in tests.items()
    }
    return {"roc": answers_roc_figure(curves, aucs, title=title)} | calibration
