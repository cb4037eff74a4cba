import numpy as np
import pytest
from tests.evaluation.detection.cases import random_images
from tests.evaluation.plots.test_classification import drawn_text

from tilebank.evaluation.detection.detection import evaluate_detection
from tilebank.evaluation.detection.images import BoxFilter
from tilebank.evaluation.detection.plots import froc_figure, precision_recall_figure
from tilebank.evaluation.detection.report import DetectionConfig, DetectionEvaluation

IMAGES = random_images(4, images=60)


@pytest.fixture(scope="module")
def found() -> DetectionEvaluation:
    return evaluate_detection(IMAGES, DetectionConfig(threshold=0.5), replicates=100, seed=0)


def test_froc_shows_the_boxes_the_band_and_the_threshold(found: DetectionEvaluation) -> None:
    text = drawn_text(froc_figure(IMAGES, found, title="Test split"))
    counts = found.counts
    assert f"{counts.boxes} boxes on {counts.images_with_boxes} of 60 images" in text
    assert f"{found.found.value:.3f} found at {found.false_positives.value:.2f} an image" in text
    assert "95% band" in text
    assert "Test split" in text


def test_froc_runs_through_the_figures_told_on_a_log_scale(found: DetectionEvaluation) -> None:
    (axes,) = froc_figure(IMAGES, found).axes
    assert axes.get_xscale() == "log"
    curve, *dots = axes.lines
    x, y = curve.get_data()
    for rate, estimate, dot in zip(found.config.rates, found.sensitivities, dots, strict=False):
        assert dot.get_xydata().tolist() == [[rate, estimate.value]]
        assert y[np.searchsorted(x, rate * 0.999) - 1] <= estimate.value <= y[np.searchsorted(x, rate * 1.001)]
    assert (np.diff(y) >= 0).all()


def test_precision_and_recall_lie_under_their_envelope(found: DetectionEvaluation) -> None:
    figure = precision_recall_figure(IMAGES, found, title="Test split")
    assert f"envelope: AP {found.average_precision.as_text()}" in drawn_text(figure)
    envelope, points = figure.axes[0].lines
    x, y = envelope.get_data()
    assert (np.diff(y) <= 0).all()
    assert np.trapezoid(y, x) == pytest.approx(found.average_precision.value, abs=0.01)
    for recall, precision in points.get_xydata():
        assert precision <= y[np.searchsorted(x, recall) - 1] + 1e-9


def test_figures_of_one_type_show_that_type(found: DetectionEvaluation) -> None:
    masses = evaluate_detection(IMAGES, DetectionConfig(), wanted=BoxFilter("mass"), replicates=50, seed=0)
    text = drawn_text(froc_figure(IMAGES, masses))
    assert f"{masses.counts.boxes} boxes" in text
    assert "chosen on validation" not in text
