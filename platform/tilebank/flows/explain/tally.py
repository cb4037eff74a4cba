"""Count exams as they are mapped, and keep what the overview page shows of those with pictures."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from tilebank.flows.explain.records import ExplainedExam
from tilebank.flows.explain.rows import BreastMaps
from tilebank.flows.reporting.atomic_files import file_name
from tilebank.flows.reporting.html import data_uri

SHOWN = 6  # breasts that a summary lists, if there are no more
THUMBNAIL_PX = 300  # height
JPEG_QUALITY = 82
VERDICTS = {True: "at or above the threshold", False: "below the threshold", None: ""}


@dataclass(frozen=True)
class DrawnBreast:
    """A breast on the overview page. figure: its picture below the output folder; thumbnail: that as a data URI.

    box: its highest one, in words; empty without any.
    """

    breast_id: str
    laterality: str
    scores: tuple[float, ...]
    verdict: str
    parts: str
    box: str
    figure: str
    thumbnail: str


@dataclass(frozen=True)
class DrawnExam:
    """An exam with pictures. page: its own, below the output folder."""

    exam_id: str
    page: str
    breasts: tuple[DrawnBreast, ...]


@dataclass
class ExplainTally:
    """Counts of exams as they come, and the first of their breasts."""

    exams: int = 0
    breasts: int = 0
    images: int = 0
    boxes: int = 0
    not_mapped: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    splits: Counter[str] = field(default_factory=Counter)
    first: list[str] = field(default_factory=list)
    drawn: list[DrawnExam] = field(default_factory=list)

    @property
    def without_map(self) -> Counter[str]:
        """Images by why they have none."""
        return self.not_mapped + self.refused

    def add(self, breasts: Sequence[BreastMaps], exam: ExplainedExam) -> None:
        """Count one exam."""
        self.exams += 1
        self.breasts += len(breasts)
        self.images += sum(not image.failure for image in exam.images)
        self.boxes += sum(len(image.boxes) for image in exam.images)
        self.not_mapped.update(image.failure for image in exam.images if image.failure)
        self.splits.update(one.score.split for one in breasts if one.score.split)
        self.first += [_line(one, exam) for one in breasts][: SHOWN - len(self.first)]
        page = f"pages/{file_name(exam.exam_id)}.html"
        if page in exam.files:
            drawn = tuple(found for one in breasts if (found := _drawn(one, exam)))
            self.drawn.append(DrawnExam(exam.exam_id, page, drawn))


def _drawn(one: BreastMaps, exam: ExplainedExam) -> DrawnBreast | None:
    row, figure = one.score, f"figures/{file_name(one.score.breast_id)}.png"
    if figure not in exam.files:  # none of its images could be mapped
        return None
    return DrawnBreast(
        breast_id=row.breast_id,
        laterality=row.laterality,
        scores=row.scores,
        verdict=VERDICTS[row.at_or_above],
        parts=_parts(one),
        box=_highest_box(row.breast_id, exam),
        figure=figure,
        thumbnail=data_uri(_thumbnail(exam.files[figure]), "jpeg"),
    )


def _thumbnail(png: bytes) -> bytes:
    picture = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None, "drawn a moment ago"
    size = (round(picture.shape[1] * THUMBNAIL_PX / picture.shape[0]), THUMBNAIL_PX)
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return bytes(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes())


def _line(one: BreastMaps, exam: ExplainedExam) -> str:
    scores = " ".join(f"{score:.4f}" for score in one.score.scores)
    told = [f"score {scores}", VERDICTS[one.score.at_or_above], _highest_box(one.score.breast_id, exam) or "no box"]
    return f"{one.score.breast_id}  {', '.join(text for text in told if text)}"


def _parts(one: BreastMaps) -> str:
    """What views and tiles add to the logit; empty for a head of several outputs."""
    if len(one.logits) != 1:
        return ""
    return f"logit {one.logits[0]:+.3g}: views {one.of_views[0]:+.3g}, tiles {one.of_tiles[0]:+.3g}"


def _highest_box(breast_id: str, exam: ExplainedExam) -> str:
    found = [(box.score, image.view, box.box) for image in exam.images if image.breast_id == breast_id
             for box in image.boxes[:1]]  # fmt: skip
    if not found:
        return ""
    score, view, box = max(found, key=lambda each: each[0])
    return f"highest box in {view}: x {box.x}, y {box.y}, {box.width} x {box.height} px, score {score:.3g}"
