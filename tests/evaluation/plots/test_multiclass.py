import numpy as np
import pytest
from tests.evaluation.test_multiclass import DENSITIES, densities, evaluated

from tilebank.errors import DatasetError
from tilebank.evaluation.plots.multiclass import answers_roc_figure, confusion_figure


def test_the_confusion_figure_holds_every_count_and_its_share_of_the_true_class() -> None:
    found = evaluated(densities(80, 0))
    axes = confusion_figure(found, title="density").axes[0]
    texts = {tuple(text.get_position()): text.get_text() for text in axes.texts}
    for true, row in enumerate(found.confusion):
        for called, count in enumerate(row):
            assert texts[(called, true)] == f"{count}\n{count / sum(row):.0%}"
    sizes = [f"{name} ({count})" for name, count in zip(DENSITIES, found.test_counts.by_class, strict=True)]
    assert [label.get_text() for label in axes.get_yticklabels()] == sizes
    assert found.quadratic_kappa.as_text() in axes.get_xlabel()


def test_every_answer_has_its_roc_and_says_its_auc() -> None:
    test = densities(80, 0)
    found = evaluated(test)
    answers = {name: (test.scores[:, at], test.labels == at) for at, name in enumerate(DENSITIES)}
    aucs = dict(zip(DENSITIES, found.class_aucs, strict=True))
    axes = answers_roc_figure(answers, aucs).axes[0]
    named = [line for line in axes.lines if not line.get_label().startswith("_")]
    assert len({line.get_color() for line in named}) == 4
    for line, (name, auc), count in zip(named, aucs.items(), found.test_counts.by_class, strict=True):
        assert line.get_label() == f"{name}: AUC {auc.as_text()}, {count} breasts"
        assert np.trapezoid(line.get_ydata(), line.get_xdata()) == pytest.approx(auc.value)
    with pytest.raises(DatasetError, match="pass both for each answer"):
        answers_roc_figure(answers, {})
