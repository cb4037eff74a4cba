"""Measure maps: boxes against annotated ones, and whether the tiles that the map shows drive the score.

Boxes and curves of a whole study are held in memory; they are small.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from tilebank.datasets.labels import box_category
from tilebank.errors import DatasetError
from tilebank.evaluation.detection.detection import evaluate_detection
from tilebank.evaluation.detection.images import BoxFilter, ImageDetections, SizeClasses
from tilebank.evaluation.detection.matching import Hit
from tilebank.evaluation.detection.plots import froc_figure, precision_recall_figure
from tilebank.evaluation.detection.published_ap import PUBLISHED_SIZES, published_average_precision, published_image
from tilebank.evaluation.detection.published_boxes import PublishedBoxConfig
from tilebank.evaluation.detection.report import DetectionConfig, DetectionEvaluation
from tilebank.evaluation.detection.table import DetectionRow, table_text, tabulate_detection
from tilebank.evaluation.faithfulness import CurveSet, Faithfulness, faithfulness_figure, gaps_of, measure_faithfulness
from tilebank.flows.explain.annotations import Annotations
from tilebank.flows.explain.records import ExplainedExam
from tilebank.flows.explain.rows import BreastMaps
from tilebank.flows.settings.settings import EvaluationConfig
from tilebank.mil.explaining.faithfulness import BreastCurves

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HITS: tuple[Hit, ...] = ("iou", "near")  # what a hit is; boxes of tiles are seldom as small as a lesion
TOLD_AT = 1.0  # false positives an image at which a summary tells the sensitivity
GROUPS = {0: "negative", 1: "positive", None: "all"}
CURVES = ("deletion", "insertion", "deletion_at_random", "insertion_at_random")


@dataclass(frozen=True, eq=False)
class DetectionFound:
    """How well boxes find annotated ones by one definition of a hit: all boxes of the task, and by type and size."""

    evaluation: DetectionEvaluation
    rows: tuple[DetectionRow, ...]

    @property
    def name(self) -> str:
        """The prefix of its metrics: none for overlap, the rule's name for the others."""
        hit = self.evaluation.config.hit
        return "" if hit == HITS[0] else f"{hit}_"

    def as_line(self) -> str:
        """AP, and the sensitivity at one false positive an image, in one line."""
        found = self.evaluation
        at_one = found.config.rates.index(TOLD_AT) if TOLD_AT in found.config.rates else 0
        sensitivity = (
            f"{found.sensitivities[at_one].as_text()} at {found.config.rates[at_one]:g} false positives an image"
        )
        what = f"{found.counts.boxes} annotated boxes, hit by {found.config.rule}"
        return f"{what}: AP {found.average_precision.as_text()}, sensitivity {sensitivity}"

    def table(self) -> str:
        """By type and size, aligned."""
        return table_text(self.rows, self.evaluation.config.rates)


@dataclass(frozen=True, eq=False)
class ExplainFigures:
    """What was measured. detection: by each rule of a hit, empty without boxes; notes: why something was not.

    published: AP by the published recipe, by size (empty: all), where there are such boxes.
    """

    detection: tuple[DetectionFound, ...]
    faithfulness: tuple[Faithfulness, ...]
    notes: tuple[str, ...]
    images: tuple[ImageDetections, ...] = ()
    published: Mapping[str, float] = field(default_factory=dict)

    def as_metrics(self) -> dict[str, float]:
        """Flat names for the record of runs: `detection_ap`, `near_detection_ap`, ..."""
        figures: dict[str, float] = {}
        for found in self.detection:
            figures |= {f"{found.name}{key}": value for key, value in found.evaluation.as_metrics().items()}
        for one in self.faithfulness:
            figures |= one.as_metrics()
        return figures | {"_".join(filter(None, ("published_ap", size))): ap for size, ap in self.published.items()}

    def as_lines(self) -> list[tuple[str, str]]:
        """Names and values for the summary, one line a figure; the report and the run hold the tables."""
        lines = [("detection" if at == 0 else "", found.as_line()) for at, found in enumerate(self.detection)]
        if self.published:
            sizes = ", ".join(f"{size or 'all'} {ap:.3f}" for size, ap in self.published.items())
            lines.append(("as published", f"AP {sizes}; images with such a box only, boxes ranked by the map's sum"))
        lines += [("faithfulness" if at == 0 else "", one.as_text()) for at, one in enumerate(self.faithfulness)]
        return lines + [("notes" if at == 0 else "", note) for at, note in enumerate(self.notes)]

    def drawn(self, *, ordered_by: str) -> "dict[str, Figure]":
        """Plots by name."""
        plots = {
            f"faithfulness_{one.group}": faithfulness_figure(one, ordered_by=ordered_by, title=f"{one.group} breasts")
            for one in self.faithfulness
        }
        for found in self.detection:
            title = found.evaluation.config.rule
            plots[f"{found.name}froc"] = froc_figure(self.images, found.evaluation, title=title)
            plots[f"{found.name}precision_recall"] = precision_recall_figure(self.images, found.evaluation, title=title)
        return plots


@dataclass
class FigureTally:
    """Collects what the figures are computed from, exam by exam."""

    task: str
    truth: Annotations
    images: list[ImageDetections] = field(default_factory=list)
    published: list[ImageDetections] = field(default_factory=list)  # on the published recipe's grid
    unmapped: int = 0
    curves: dict[str, list[tuple[str, BreastCurves]]] = field(default_factory=dict)

    def add(self, breasts: Sequence[BreastMaps], exam: ExplainedExam) -> None:
        """Take the boxes and curves of one exam."""
        for one in breasts:
            label = self.truth.labels.get(one.score.breast_id)
            if one.curves is not None and (label is not None or not self.truth.labels):
                self.curves.setdefault(GROUPS[label], []).append((one.score.patient_id, one.curves))
        patients = {one.score.breast_id: one.score.patient_id for one in breasts}
        self.unmapped += sum(bool(image.failure) for image in exam.images)
        for image in exam.images:
            if self.truth.findings and not image.failure:
                found = ImageDetections(
                    image_id=image.image_id,
                    patient_id=patients[image.breast_id],
                    rows=image.shape[0],
                    columns=image.shape[1],
                    findings=self.truth.findings.get(image.image_id, ()),
                    detections=image.boxes,
                    peak=image.peak,
                    spacing_mm=image.spacing_mm,
                )
                self.images.append(found)
                if found.findings:
                    on_grid = published_image(found, image.published, PublishedBoxConfig(), crop=image.crop)
                    self.published.append(on_grid)

    def measure(self, config: EvaluationConfig) -> ExplainFigures:
        """All figures that there is enough data for; notes say what is missing."""
        notes: list[str] = []
        if self.unmapped:
            notes.append(f"{self.unmapped} images without a map are left out of the detection figures")
        detection = tuple(self._detect(config, notes))
        faithful = tuple(self._faithfulness(config, notes))
        return ExplainFigures(detection, faithful, tuple(notes), tuple(self.images), self._published())

    def _published(self) -> dict[str, float]:
        found = {}
        for size in ("", *PUBLISHED_SIZES):
            with suppress(DatasetError):  # no annotated box of that size
                category = box_category(self.task)
                found[size] = published_average_precision(self.published, category=category, size=size)
        return found

    def _detect(self, config: EvaluationConfig, notes: list[str]) -> list[DetectionFound]:
        if not self.truth.findings:
            notes.append("detection is not measured: the dataset has no annotated boxes")
            return []
        wanted, times, seed = BoxFilter(category=box_category(self.task)), config.replicates, config.seed
        found = []
        try:
            for how in (DetectionConfig(hit=hit) for hit in HITS):
                evaluation = evaluate_detection(self.images, how, wanted=wanted, replicates=times, seed=seed)
                sizes, least = SizeClasses(), config.subgroup_patients
                rows = tabulate_detection(self.images, how, sizes=sizes, minimum=least, replicates=times, seed=seed)
                found.append(DetectionFound(evaluation, tuple(rows)))
        except DatasetError as error:
            notes.append(f"detection is not measured: {error}")
        return found

    def _faithfulness(self, config: EvaluationConfig, notes: list[str]) -> list[Faithfulness]:
        found = []
        for group in sorted(self.curves, reverse=True):
            curves = curve_set(self.curves[group])
            try:
                one = measure_faithfulness(group, curves, replicates=config.replicates, seed=config.seed, level=0.95)
                found.append(one)
            except DatasetError:  # one patient: figures without intervals
                deletion, insertion = gaps_of(curves).mean(axis=0)
                gaps = f"deletion gap {deletion:.3f}, insertion gap {insertion:.3f}"
                whose = "one patient's breasts" if group == "all" else f"one patient's {group} breasts"
                notes.append(f"{whose}, tiles ordered by the map against at random: {gaps}")
        if not self.curves:
            notes.append("whether the map drives the score is not measured: several outputs, or no tiles")
        elif self.truth.no_labels:
            notes.append(f"positive and negative breasts are not separated: {self.truth.no_labels}")
        return found


def curve_set(curves: Sequence[tuple[str, BreastCurves]]) -> CurveSet:
    """Curves of breasts, each with its patient, on top of each other."""
    stacked = {name: np.stack([getattr(one, name) for _, one in curves]) for name in CURVES}
    return CurveSet(**stacked, patients=tuple(patient for patient, _ in curves))
