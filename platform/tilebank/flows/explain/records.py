"""Records that go into the drawing stage and come out of it; a worker reads them without torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tilebank.flows.explain.maps.image import TileValues
from tilebank.imaging.dicom.presentation_state import MarkAuthor
from tilebank.imaging.maps.layers import ColourScale
from tilebank.terms import Finding, Laterality, ManifestRow, ScoredBox, TileBox


@dataclass(frozen=True)
class Drawing:
    """What is drawn of an exam besides boxes. marks: who signs boxes as DICOM objects, None for none; maps: arrays."""

    pictures: bool
    marks: MarkAuthor | None
    maps: bool


@dataclass(frozen=True)
class BreastResult:
    """What the head gives one breast, one number an answer. colours: the scale of its maps."""

    breast_id: str
    laterality: Laterality
    scores: tuple[float, ...]
    logits: tuple[float, ...]
    of_views: tuple[float, ...]
    of_tiles: tuple[float, ...]
    at_or_above: bool | None
    flag: str
    colours: ColourScale


@dataclass(frozen=True, eq=False)
class ExamTiles:
    """One exam on its way to be drawn.

    tiles: by image id, one a scale; no_tiles: why an image has none, where it is known; findings: annotated boxes by
    image id; threshold: of the one score; head: what it is called; colours_are: the legend of the maps' colours.
    """

    exam_id: str
    breasts: Sequence[BreastResult]
    images: Sequence[ManifestRow]
    tiles: Mapping[str, tuple[TileValues, ...]]
    no_tiles: Mapping[str, str]
    findings: Mapping[str, tuple[Finding, ...]]
    drawing: Drawing
    threshold: float | None
    head: str
    colours_are: str


@dataclass(frozen=True)
class ExplainedImage:
    """What is known of one image's map: its boxes in source pixels, its highest place; or why there is none.

    crop, published: the breast's box, and where the image has annotated boxes those of its map by the published recipe,
    on its grid; no_marks: why its boxes are no DICOM object, where that was asked for.
    """

    image_id: str
    breast_id: str
    view: str
    shape: tuple[int, int] = (0, 0)
    boxes: tuple[ScoredBox, ...] = ()
    peak: tuple[int, int] | None = None
    spacing_mm: tuple[float, float] | None = None
    crop: TileBox | None = None
    published: tuple[ScoredBox, ...] = ()
    failure: str = ""
    no_marks: str = ""


@dataclass(frozen=True, eq=False)
class ExplainedExam:
    """One exam's images, and its files by name below the output folder."""

    exam_id: str
    images: tuple[ExplainedImage, ...]
    files: dict[str, bytes]
