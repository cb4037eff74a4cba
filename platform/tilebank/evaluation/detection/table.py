"""Tabulate detection by type of finding and size, one row each.

Each row ignores the detections on boxes of the other rows; false positives of all images are in every row. A box of
several categories counts in the row of each. A row whose patients are too few gets its counts and no figures, as in
`subgroups`; rows are looked at side by side and nothing is tested. The AP of a part lies below that of the whole where
both are found equally well, for false positives are the same and boxes are fewer; sensitivities compare.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tilebank.errors import DatasetError
from tilebank.evaluation.detection.detection import count_matches, evaluate_overlaps
from tilebank.evaluation.detection.images import SIZES, BoxFilter, ImageDetections, SizeClasses
from tilebank.evaluation.detection.matching import Overlaps, match, overlaps_of
from tilebank.evaluation.detection.report import DetectionConfig, DetectionCounts, DetectionEvaluation
from tilebank.evaluation.scores import Estimate
from tilebank.evaluation.subgroups import UNKNOWN


@dataclass(frozen=True)
class DetectionRow:
    """One category and size, empty for all; `withheld` says why there are no figures, and is empty where there are."""

    category: str
    size: str
    counts: DetectionCounts
    withheld: str = ""
    evaluation: DetectionEvaluation | None = None

    def as_cells(self, rates: Sequence[float]) -> dict[str, str]:
        """The row as text by column, figures with intervals, `-` where there is none."""
        found = self.evaluation
        sensitivities = found.sensitivities if found else (None,) * len(rates)
        return {
            "type": self.category or "all",
            "size": self.size or "all",
            "boxes": str(self.counts.boxes),
            "images": str(self.counts.images_with_boxes),
            "patients": str(self.counts.patients),
            "AP": _text(found.average_precision if found else None),
            **{f"at {rate:g} FP": _text(one) for rate, one in zip(rates, sensitivities, strict=True)},
            "pointing": _text(found.pointing if found else None),
        }


def tabulate_detection(
    images: Sequence[ImageDetections],
    config: DetectionConfig,
    *,
    sizes: SizeClasses,
    minimum: int = 10,
    replicates: int = 2000,
    seed: int,
    level: float = 0.95,
) -> list[DetectionRow]:
    """A row for all boxes and for each category, each followed by its sizes; empty without any annotated box.

    A row needs `minimum` patients with such a box. Raises DatasetError.
    """
    overlaps = overlaps_of(images, iou=config.iou, hit=config.hit)
    return [
        _row(overlaps, config, wanted, minimum=minimum, replicates=replicates, seed=seed, level=level)
        for wanted in _choices(images, sizes)
    ]


def table_text(rows: Sequence[DetectionRow], rates: Sequence[float]) -> str:
    """The rows as an aligned table, with a line for each reason why figures are withheld."""
    cells = [row.as_cells(rates) for row in rows]
    if not cells:
        raise DatasetError("no rows to show; the images have no annotated boxes")
    widths = {name: max(len(name), *(len(row[name]) for row in cells)) for name in cells[0]}
    lines = ["  ".join(name.ljust(width) for name, width in widths.items()).rstrip()]
    lines += ["  ".join(row[name].ljust(width) for name, width in widths.items()).rstrip() for row in cells]
    reasons = dict.fromkeys(row.withheld for row in rows if row.withheld)
    return "\n".join([*lines, *(f"-: {reason}" for reason in reasons)])


def _choices(images: Sequence[ImageDetections], sizes: SizeClasses) -> list[BoxFilter]:
    findings = [(finding, image.spacing_mm) for image in images for finding in image.findings]
    named = {category for finding, _ in findings for category in finding.categories or (UNKNOWN,)}
    unmeasured = any(sizes.size_of(finding.box, spacing) == UNKNOWN for finding, spacing in findings)
    classes = ("", *SIZES, *([UNKNOWN] if unmeasured else []))
    categories = ["", *sorted(named, key=lambda name: (name == UNKNOWN, name))] if findings else []
    return [BoxFilter(category, size, sizes) for category in categories for size in classes]


def _row(
    overlaps: Overlaps,
    config: DetectionConfig,
    wanted: BoxFilter,
    *,
    minimum: int,
    replicates: int,
    seed: int,
    level: float,
) -> DetectionRow:
    counts, least = count_matches(match(overlaps, wanted)), max(minimum, 2)
    if counts.patients < least:
        return DetectionRow(wanted.category, wanted.size, counts, f"fewer than {least} patients with such a box")
    found = evaluate_overlaps(overlaps, config, wanted=wanted, replicates=replicates, seed=seed, level=level)
    return DetectionRow(wanted.category, wanted.size, counts, evaluation=found)


def _text(estimate: Estimate | None) -> str:
    return estimate.as_text() if estimate else "-"
