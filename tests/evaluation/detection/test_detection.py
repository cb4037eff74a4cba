from dataclasses import replace

import numpy as np
import pytest
from tests.evaluation.detection.cases import random_images

from tilebank.errors import ConfigError, DatasetError
from tilebank.evaluation.detection.detection import evaluate_detection, evaluate_overlaps
from tilebank.evaluation.detection.images import BoxFilter, ImageDetections
from tilebank.evaluation.detection.matching import overlaps_of
from tilebank.evaluation.detection.report import DetectionConfig, DetectionEvaluation
from tilebank.terms import Finding, ScoredBox, TileBox

CONFIG = DetectionConfig()
BOX, ELSEWHERE = TileBox(10, 10, 20, 20), TileBox(60, 60, 20, 20)


def screened(seed: int, patients: int) -> list[ImageDetections]:
    """Four images a patient, some with a lesion; how well they are found is the patient's own, so images depend."""
    rng = np.random.default_rng(seed)
    images = []
    for number in range(patients):
        skill, ill = rng.normal(1.0, 0.8), rng.random() < 0.5
        for view in range(4):
            name = f"{number}-{view}"
            ill_here = ill and view < 2
            false = [ScoredBox(ELSEWHERE, float(rng.normal())) for _ in range(int(rng.poisson(1.5)))]
            hits = [ScoredBox(BOX, float(rng.normal(skill)))] if ill_here and rng.random() < 0.85 else []
            peak = (15, 15) if ill_here and rng.random() < 0.6 + 0.1 * skill else (90, 90)
            findings = (Finding(name, ("mass",), BOX),) if ill_here else ()
            images.append(ImageDetections(name, str(number), 100, 100, findings, tuple(false + hits), peak))
    return images


def figures(found: DetectionEvaluation) -> dict[str, float]:
    return {name: value for name, value in found.as_metrics().items() if not name.endswith(("_low", "_high"))}


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    config = DetectionConfig(threshold=0.5, rates=(0.25, 1.0))
    truth = figures(evaluate_detection(screened(1, 12_000), config, replicates=1, seed=0))
    del truth["detection_boxes"], truth["detection_images"]
    covered = dict.fromkeys(truth, 0)
    for sample in range(150):
        told = evaluate_detection(screened(1000 + sample, 60), config, replicates=300, seed=sample).as_metrics()
        for name, value in truth.items():
            covered[name] += told[f"{name}_low"] <= value <= told[f"{name}_high"]
    assert set(truth) == {
        "detection_ap",
        "detection_sens_at_0.25fp",
        "detection_sens_at_1fp",
        "detection_found",
        "detection_fp_per_image",
        "detection_pointing",
    }
    assert all(0.90 <= times / 150 <= 1 for times in covered.values()), covered


def test_figures_at_a_threshold_count_what_reaches_it() -> None:
    images = screened(0, 20)
    found = evaluate_detection(images, DetectionConfig(threshold=0.5), replicates=50, seed=0)
    hits = [any(d.box == BOX and d.score >= 0.5 for d in one.detections) for one in images if one.findings]
    false = [d for one in images for d in one.detections if d.box == ELSEWHERE and d.score >= 0.5]
    assert found.found.value == pytest.approx(np.mean(hits))
    assert found.false_positives.value == pytest.approx(len(false) / len(images))
    pointed = [one.peak == (15, 15) for one in images if one.findings]
    assert found.pointing is not None
    assert found.pointing.value == pytest.approx(np.mean(pointed))


def test_all_detections_together_find_what_the_curve_ends_at() -> None:
    images = screened(0, 20)
    found = evaluate_detection(images, DetectionConfig(rates=(1000.0,)), replicates=50, seed=0)
    assert found.found.value == found.sensitivities[0].value


def test_counts_are_those_of_the_boxes_wanted() -> None:
    images = screened(0, 20)
    counts = evaluate_detection(images, CONFIG, replicates=5, seed=0).counts
    ill = [one for one in images if one.findings]
    assert (counts.images, counts.images_with_boxes, counts.boxes) == (80, len(ill), len(ill))
    assert counts.patients == len({one.patient_id for one in ill})
    assert counts.detections == sum(len(one.detections) for one in images)


def test_a_perfect_detector_gets_ones_with_an_exact_interval_of_its_patients() -> None:
    images = [replace(one, detections=(ScoredBox(BOX, 1.0),) if one.findings else ()) for one in screened(0, 20)]
    found = evaluate_detection(images, CONFIG, replicates=50, seed=0)
    assert found.average_precision.value == 1.0
    patients = found.counts.patients
    for estimate in (*found.sensitivities, found.found):
        assert (estimate.value, estimate.interval.high) == (1.0, 1.0)
        assert estimate.interval.low == pytest.approx(0.025 ** (1 / patients))


def test_a_rate_of_false_positives_above_one_keeps_its_interval() -> None:
    images = [replace(one, detections=(ScoredBox(ELSEWHERE, 1.0),)) for one in screened(0, 20)]  # just one an image
    found = evaluate_detection(images, CONFIG, replicates=50, seed=0).false_positives
    assert (found.value, found.interval.low, found.interval.high) == (1.0, 1.0, 1.0)


def test_the_same_seed_gives_the_same_intervals_in_any_order_of_images() -> None:
    images = random_images(0, images=30)
    first, second = (evaluate_detection(some, CONFIG, replicates=50, seed=3) for some in (images, images[::-1]))
    assert first.as_metrics() == pytest.approx(second.as_metrics(), nan_ok=False)


def test_without_maps_the_pointing_game_is_left_out() -> None:
    images = [replace(one, peak=None) for one in screened(0, 20)]
    found = evaluate_detection(images, CONFIG, replicates=5, seed=0)
    assert found.pointing is None
    assert "pointing" not in found.as_text()
    assert not any("pointing" in name for name in found.as_metrics())


def test_a_hit_by_centre_finds_what_a_wide_box_overlaps_too_little() -> None:
    wide = TileBox(0, 0, 40, 40)
    images = [replace(one, detections=(ScoredBox(wide, 1.0),) if one.findings else ()) for one in screened(0, 20)]
    by_overlap = evaluate_detection(images, DetectionConfig(iou=0.3), replicates=5, seed=0)
    by_centre = evaluate_detection(images, DetectionConfig(iou=0.3, hit="centre"), replicates=5, seed=0)
    assert (by_overlap.found.value, by_centre.found.value) == (0.0, 1.0)
    assert "by IoU 0.3" in by_overlap.as_text()
    assert "by centre in the box" in by_centre.as_text()


def test_the_text_holds_every_figure_and_what_stands_behind_it() -> None:
    found = evaluate_detection(screened(0, 20), DetectionConfig(threshold=0.5), replicates=50, seed=0)
    text = found.as_text()
    assert f"{found.counts.boxes} annotated boxes on {found.counts.images_with_boxes} of 80 images" in text
    assert "score 0.5000 or more" in text
    shown = [found.average_precision, *found.sensitivities, found.found, found.false_positives, found.pointing]
    assert all(estimate is not None and f"{estimate.value:.3f}" in text for estimate in shown)


def test_what_has_no_figure_is_named() -> None:
    images = screened(0, 20)
    with pytest.raises(DatasetError, match="there is no annotated box to find"):
        evaluate_detection(images, CONFIG, wanted=BoxFilter("distortion"), replicates=5, seed=0)
    with pytest.raises(DatasetError, match="one patient"):
        evaluate_detection([replace(one, patient_id="p") for one in images], CONFIG, replicates=5, seed=0)
    for other in (overlaps_of(images, iou=0.5), overlaps_of(images, iou=0.25, hit="centre")):
        with pytest.raises(DatasetError, match="use the same for both"):
            evaluate_overlaps(other, CONFIG, wanted=BoxFilter(), replicates=5, seed=0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"iou": 0.0},
        {"hit": "beside"},
        {"rates": ()},
        {"rates": (1.0, 0.5)},
        {"tolerance_px": -1},
        {"threshold": float("nan")},
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        DetectionConfig(**wrong)  # type: ignore[arg-type]
