"""Figures of maps and the report on them: right where boxes are, said where they are not."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from tilebank.flows.champion.card import HeadCard
from tilebank.flows.explain.annotations import Annotations
from tilebank.flows.explain.figures import ExplainFigures, FigureTally
from tilebank.flows.explain.page import render_explanation
from tilebank.flows.explain.records import ExplainedExam, ExplainedImage
from tilebank.flows.explain.rows import BreastMaps
from tilebank.flows.explain.summary import ExplainSummary, ScaleCost
from tilebank.flows.explain.tally import ExplainTally
from tilebank.flows.predict.rows import BreastScore
from tilebank.flows.settings.explain import ExplainConfig
from tilebank.flows.settings.settings import EvaluationConfig
from tilebank.mil.explaining.faithfulness import SHARES, BreastCurves
from tilebank.terms import Finding, ScoredBox, TileBox

SCREEN = 24  # lines
CONFIG = EvaluationConfig(replicates=50, seed=0, subgroup_patients=2)
CHANCE = 1 - SHARES
PNG = bytes(cv2.imencode(".png", np.full((600, 400, 3), 90, np.uint8))[1].tobytes())


def breast(place: int, *, gain: float) -> BreastMaps:
    score = BreastScore(f"P{place}", f"E{place}", f"E{place}_L", "L", "test", (0.9,), True, ("CC",), "")
    curves = BreastCurves(CHANCE - gain * SHARES * CHANCE, SHARES, CHANCE, SHARES)
    return BreastMaps(score, (2.0,), (1.0,), (0.5,), {}, curves)


def exam(place: int, *boxes: ScoredBox, failure: str = "") -> ExplainedExam:
    image = ExplainedImage(
        f"I{place}", f"E{place}_L", "CC", (1000, 800), boxes, (110, 210), (0.1, 0.1), failure=failure
    )
    files = {f"figures/E{place}_L.png": PNG, f"pages/E{place}.html": b"<html>"}
    return ExplainedExam(f"E{place}", (image,), files)


def box(score: float, *place: int) -> ScoredBox:
    return ScoredBox(TileBox(*place), score)


def truth_of(patients: int) -> Annotations:
    """A mass of 40 x 40 at (100, 200) on every second image, and nothing on the others."""
    found = {
        f"I{place}": (Finding(f"I{place}", ("mass",), TileBox(100, 200, 40, 40)),) for place in range(0, patients, 2)
    }
    return Annotations({f"E{place}_L": (place + 1) % 2 for place in range(patients)}, found)


def measured(patients: int, truth: Annotations, *boxes: ScoredBox) -> tuple[ExplainFigures, ExplainTally]:
    tally, counted = FigureTally("mass", truth), ExplainTally()
    for place in range(patients):
        looked = [breast(place, gain=0.3)]
        one = exam(place, *(boxes if place % 2 == 0 else ()))
        tally.add(looked, one)
        counted.add(looked, one)
    return tally.measure(CONFIG), counted


def summary_of(figures: ExplainFigures, tally: ExplainTally) -> ExplainSummary:
    card = HeadCard("phantom", "mass", "texture", "08f8")
    scales = (ScaleCost(1.0, 256, 64, "ee4f", 100, 3.0), ScaleCost(0.5, 128, 32, "aa11", 0, 0.1))
    return ExplainSummary(
        "a head", card, "phantom in s", "test", ExplainConfig(), scales, tally, figures, "", "out", 9.0
    )


def test_a_large_box_around_a_small_lesion_hits_by_its_centre_and_not_by_its_overlap() -> None:
    figures, _ = measured(8, truth_of(8), box(0.9, 20, 120, 200, 200))  # centre (120, 220)
    metrics = figures.as_metrics()
    assert metrics["detection_ap"] == 0
    assert metrics["near_detection_ap"] == pytest.approx(1)
    assert metrics["detection_pointing"] == pytest.approx(1), "the peak (110, 210) lies in the box"
    exact, _ = measured(8, truth_of(8), box(0.9, 100, 200, 40, 40))
    assert exact.as_metrics()["detection_ap"] == pytest.approx(1)


def test_the_published_figure_is_of_images_with_a_box_alone_on_its_own_grid() -> None:
    on_grid = box(5.0, 114, 304, 46, 61)  # the mass at (100, 200), of 1000 x 800 on 1520 x 912
    tally = FigureTally("mass", truth_of(4))
    for place in range(4):
        one = exam(place)
        (image,) = one.images
        tally.add([breast(place, gain=0.3)], replace(one, images=(replace(image, published=(on_grid,)),)))
    figures = tally.measure(CONFIG)
    assert figures.published == {"": pytest.approx(1), "small": pytest.approx(1)}
    assert figures.as_metrics()["published_ap_small"] == pytest.approx(1)
    assert any(name == "as published" and "all 1.000, small 1.000" in line for name, line in figures.as_lines())


def test_positive_and_negative_breasts_are_told_apart_and_gaps_are_areas() -> None:
    figures, _ = measured(8, truth_of(8))
    found = {one.group: one for one in figures.faithfulness}
    assert {group: one.breasts for group, one in found.items()} == {"positive": 4, "negative": 4}
    assert found["positive"].deletion_gap.value == pytest.approx(0.3 * np.trapezoid(SHARES * CHANCE, SHARES))
    assert found["positive"].insertion_gap.value == pytest.approx(0)


def test_what_cannot_be_measured_is_said() -> None:
    figures, _ = measured(1, Annotations({}, {}, "there is no table"))
    assert figures.detection == ()
    said = " ".join(figures.notes)
    for words in ("no annotated boxes", "one patient's breasts", "there is no table"):
        assert words in said
    tally = FigureTally("mass", truth_of(8))
    for place in range(8):
        tally.add([breast(place, gain=0.1)], exam(place, failure="broken" if place == 3 else ""))
    assert "1 images without a map" in " ".join(tally.measure(CONFIG).notes)


def test_the_report_holds_all_figures_and_names_exams_only_where_their_pictures_lie(tmp_path: Path) -> None:
    figures, tally = measured(8, truth_of(8), box(0.9, 20, 120, 200, 200))
    tally.refused = Counter({"read: no DICOM": 2})
    summary = summary_of(figures, tally)
    drawn = figures.drawn(ordered_by="attention")
    assert set(drawn) == {
        *("froc", "precision_recall", "near_froc", "near_precision_recall"),
        *("faithfulness_positive", "faithfulness_negative"),
    }
    beside = render_explanation(summary, drawn, exams=tally.drawn)
    recorded = render_explanation(summary, drawn)
    for page in (beside, recorded):
        assert page.count("data:image/png;base64,") == len(drawn)
        assert "centre near that of the box" in page
        assert "all were stored" in page
    assert 'href="figures/E0_L.png"' in beside
    assert 'href="pages/E0.html"' in beside
    assert beside.count('<img src="data:image/jpeg;base64,') == 8, "a thumbnail a breast"
    assert "closer than half the diagonal of the annotated box, or than 100 px" in beside
    assert "<b>0.9000</b> at or above the threshold" in beside
    assert "logit +2: views +1, tiles +0.5" in beside
    assert "E0_L" not in recorded
    text = summary.as_text()
    assert len(text.splitlines()) <= SCREEN, text
    assert "2 images, see not_mapped.csv" in text
    assert summary.as_dict()["figures"]["near_detection_ap"] == pytest.approx(1)
