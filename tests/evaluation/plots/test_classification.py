import io
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from tilebank.errors import DatasetError
from tilebank.evaluation.intervals.bootstrap import Interval
from tilebank.evaluation.plots.classification import calibration_figure, curves_figure, roc_figure, trials_strip_figure
from tilebank.evaluation.plots.forest import ForestLine, forest_figure, heads_figure
from tilebank.evaluation.report import Evaluation, evaluate
from tilebank.evaluation.scores import Estimate, ScoredBreasts
from tilebank.evaluation.subgroups import evaluate_subgroups


def scored(split: str, seed: int) -> ScoredBreasts:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, 80)
    scores = 1 / (1 + np.exp(-(1.5 * labels + rng.normal(size=80))))
    ids = tuple(f"{split}{index}" for index in range(80))
    return ScoredBreasts(scores, labels, tuple(name[:2] for name in ids), ids)


@pytest.fixture(scope="module")
def held_out() -> ScoredBreasts:
    return scored("t", 1)


@pytest.fixture(scope="module")
def found(held_out: ScoredBreasts) -> Evaluation:
    return evaluate(scored("v", 0), held_out, replicates=100, seed=0)


def drawn_text(figure: Figure) -> str:
    """All text of the figure; it is saved as a PNG first, so that what can not be drawn fails here."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    assert picture.getvalue().startswith(b"\x89PNG")
    width, _ = figure.get_size_inches() * figure.dpi
    assert 700 <= width <= 900
    _assert_inside(figure)
    return "\n".join(text.get_text() for text in figure.findobj(Text))


def _assert_inside(figure: Figure) -> None:
    """No title, label, legend or note may be cut off by the page."""
    for axes in figure.axes:
        legend = axes.get_legend()
        notes = [*axes.texts, *(legend.get_texts() if legend else [])]
        written = [text for text in (axes.xaxis.label, axes.yaxis.label, axes.title, *notes) if text.get_text()]
        for text in written:
            box = text.get_window_extent()
            assert figure.bbox.x0 <= box.x0, text.get_text()
            assert box.x1 <= figure.bbox.x1, text.get_text()


def test_roc_figure_shows_the_auc_its_interval_and_the_chosen_point(held_out: ScoredBreasts, found: Evaluation) -> None:
    text = drawn_text(roc_figure(held_out, found, title="Test split"))
    interval, point = found.auc.interval, found.at_sensitivity
    assert f"AUC {found.auc.value:.3f} ({interval.low:.3f} to {interval.high:.3f})" in text
    assert f"sensitivity {point.sensitivity:.3f}, specificity {point.specificity:.3f}" in text
    assert "Test split" in text


def test_roc_figure_marks_the_point_on_its_own_curve(held_out: ScoredBreasts, found: Evaluation) -> None:
    curve, diamond, _ = roc_figure(held_out, found).axes[0].lines
    points = {(round(x, 9), round(y, 9)) for x, y in curve.get_xydata()}
    (x, y) = diamond.get_xydata()[0]
    assert (round(x, 9), round(y, 9)) in points


def test_calibration_figure_shows_its_error_and_counts_every_breast(held_out: ScoredBreasts, found: Evaluation) -> None:
    figure = calibration_figure(held_out, found)
    text = drawn_text(figure)
    assert f"calibration error {found.ece:.3f}, Brier score {found.brier.value:.3f}" in text
    negatives, positives = figure.axes[1].containers
    counted = [sum(bar.get_height() for bar in bars) for bars in (negatives, positives)]
    assert counted == [80 - held_out.labels.sum(), held_out.labels.sum()]


def test_strip_figure_shows_every_trial_once_and_names_the_champion() -> None:
    aucs = np.random.default_rng(0).normal(0.8, 0.01, 36)
    champion = int(aucs.argmax())
    figure = trials_strip_figure(aucs, champion=champion)
    text = drawn_text(figure)
    assert f"champion {aucs[champion]:.3f}" in text
    assert f"36 trials: mean {aucs.mean():.3f}, standard deviation {aucs.std(ddof=1):.3f}" in text
    others, diamond = figure.axes[0].lines[:2]
    assert sorted([*others.get_xdata(), *diamond.get_xdata()]) == sorted(aucs)


def test_strip_figure_leaves_diverged_trials_out_of_the_spread() -> None:
    text = drawn_text(trials_strip_figure(np.array([0.7, np.nan, 0.8]), champion=2))
    assert "2 trials: mean 0.750" in text


def test_strip_figure_of_one_trial_can_be_drawn() -> None:
    assert "1 trials: mean 0.700, standard deviation 0.000" in drawn_text(
        trials_strip_figure(np.array([0.7]), champion=0)
    )


def test_curves_figure_marks_the_best_epoch_of_the_champion() -> None:
    curves = [np.array([0.5, 0.6]), np.array([0.5, 0.7, 0.9, 0.8]), np.array([0.4])]
    text = drawn_text(curves_figure(curves, champion=1))
    assert "its best: 0.900 in epoch 3" in text
    assert "2 other trials" in text


@pytest.mark.parametrize(
    ("champion", "message"), [(3, "is not one of 3 trials"), (-1, "is not one"), (1, "no validation AUC")]
)
def test_a_champion_that_is_not_there_raises(champion: int, message: str) -> None:
    aucs = np.array([0.5, np.nan, 0.6])
    with pytest.raises(DatasetError, match=message):
        trials_strip_figure(aucs, champion=champion)
    with pytest.raises(DatasetError, match=message):
        curves_figure([np.array([auc]) for auc in aucs], champion=champion)


def test_forest_figure_names_every_part_and_cuts_nothing_off(held_out: ScoredBreasts, found: Evaluation) -> None:
    groups = ["a vendor with a very long name indeed"] * 40 + ["short"] * 36 + [""] * 4
    patients = [str(index) for index in range(80)]
    parts = evaluate_subgroups(
        held_out.scores, held_out.labels, patients, groups, column="vendor", threshold=0.5, replicates=50, seed=0
    )
    figure = forest_figure(parts, found.auc, title="phantom, malignancy, dual_stream on dinov2-small")
    text = drawn_text(figure)
    assert found.auc.as_text() in text
    assert "unknown" in text
    assert text.count("too few patients") == 1
    box = figure.findobj(lambda artist: isinstance(artist, Text) and artist.get_text().startswith("phantom,"))[0]
    assert box.get_window_extent().x1 <= figure.bbox.x1
    with pytest.raises(DatasetError, match="no subgroups to draw"):
        forest_figure([], found.auc)


def test_heads_figure_shows_each_auc_and_difference_beside_one_reference() -> None:
    def estimate(value: float) -> Estimate:
        return Estimate(value, Interval(value - 0.2, value + 0.1, 0.95, 100, 0))

    name = "dinov2-reg-giant/dual_stream_mean@08f87c04"
    reference, other = ForestLine("a", estimate(0.8), None), ForestLine(name, estimate(0.6), estimate(-0.2))
    figure = heads_figure([reference, other], title="phantom, malignancy")
    figure.savefig(io.BytesIO(), format="png")
    _assert_inside(figure)
    left, right = figure.axes
    label = left.get_yticklabels()[1]
    assert label.get_text() == name
    assert label.get_window_extent().x0 >= figure.bbox.x0
    dots = [[float(line.get_xdata()[0]) for line in axes.lines if line.get_marker() == "o"] for axes in (left, right)]
    assert dots == [[0.8, 0.6], [-0.2]]
    assert left.get_xlim()[0] <= other.auc.interval.low
    assert "paired 95% intervals" in right.get_xlabel()
    for lines in ([reference, reference], [other]):
        with pytest.raises(DatasetError, match="beside one reference"):
            heads_figure(lines)


def test_figures_never_touch_pyplot_and_importing_them_does_not_import_matplotlib() -> None:
    code = """
import io, sys, numpy
from tilebank.evaluation import report, scores
from tilebank.evaluation.plots import classification
assert "matplotlib" not in sys.modules
half = [scores.ScoredBreasts(numpy.linspace(0, 1, 8), numpy.arange(8) % 2, tuple(s + "aabbccdd"[i] for i in range(8)),
        tuple("abcdefgh")) for s in "vt"]
found = report.evaluate(*half, replicates=20, seed=0)
aucs = numpy.array([0.5, 0.6])
for figure in (classification.roc_figure(half[1], found), classification.calibration_figure(half[1], found),
               classification.trials_strip_figure(aucs, champion=1),
               classification.curves_figure([aucs, aucs], champion=1)):
    figure.savefig(io.BytesIO(), format="png")
assert "matplotlib.figure" in sys.modules and "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
