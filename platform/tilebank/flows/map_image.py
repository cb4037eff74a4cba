"""The map of one image, made in the process that can die: read, masked, laid out, its boxes found.

A function of bytes and settings, called through `isolation`; imports no Ray, Lance or torch. Outside the breast the
picture holds means over blocks, so that no text burned into the pixels can be made out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tilebank.evaluation.map_boxes import BoxConfig, find_boxes, find_peak
from tilebank.flows.one_image import Expected, ImageRecipe, place_expected
from tilebank.flows.thumbnail import veil_outside
from tilebank.imaging.attention_map import Map, MapConfig, assemble_map, normalise_map
from tilebank.imaging.dicom import read_header
from tilebank.imaging.reader import Mammogram, read_mammogram
from tilebank.terms import ScoredBox


@dataclass(frozen=True, eq=False)
class TileValues:
    """The tiles of one image and size: boxes (n, 4) int32 in source pixels, raw values (n,).

    unit: what turns a value into the height of the map that boxes are taken from; smoothing_px: of a Gaussian.
    """

    boxes: NDArray[np.int32]
    values: NDArray[np.float64]
    unit: float
    smoothing_px: float


@dataclass(frozen=True)
class MapRecipe:
    """How an image is read, and what is made of its map."""

    image: ImageRecipe
    boxes: BoxConfig
    picture_px: int
    step_px: int


@dataclass(frozen=True, eq=False)
class MappedImage:
    """One image with its map.

    shape: (rows, columns) of the source; boxes: in source pixels, the highest first; peak: x, y of the highest place;
    spacing_mm: (row, column) at the detector, None where not known; gray: uint8 (h, w), a small picture; unit: float32
    (h, w), the map between 0 and 1 on the same grid; breast: the mask there; raw: one float16 (r, c) a scale, values as
    means over `step_px` source pixels each way.
    """

    shape: tuple[int, int]
    boxes: tuple[ScoredBox, ...]
    peak: tuple[int, int] | None
    spacing_mm: tuple[float, float] | None
    gray: NDArray[np.uint8]
    unit: NDArray[np.float32]
    breast: NDArray[np.bool_]
    raw: tuple[NDArray[np.float16], ...]


def map_image(content: bytes, expected: Expected, scales: Sequence[TileValues], *, recipe: MapRecipe) -> MappedImage:
    """The map of the file's image. Raises ImageError as an extraction of it does."""
    from io import BytesIO

    place_expected(read_header(BytesIO(content)), expected, intake=recipe.image.intake)
    mammogram = read_mammogram(content, reader=recipe.image.reader, mask=recipe.image.mask)
    breast = mammogram.breast
    raw = [
        assemble_map(each.boxes, each.values, breast=breast, config=MapConfig(smoothing_px=each.smoothing_px))
        for each in scales
    ]
    heights = np.mean([np.float32(each.unit) * one for each, one in zip(scales, raw, strict=True)], axis=0)
    size = _picture_size(breast.shape, height_px=recipe.picture_px)
    return MappedImage(
        shape=(breast.shape[0], breast.shape[1]),
        boxes=tuple(find_boxes(heights, breast, recipe.boxes)),
        peak=find_peak(heights, breast),
        spacing_mm=mammogram.header.spacing_mm,
        gray=_gray(mammogram, size),
        unit=_shrunk(normalise_map(heights, breast), size),
        breast=_shrunk(breast.astype(np.float32), size) >= 0.5,
        raw=tuple(_block_means(one, recipe.step_px) for one in raw),
    )


def _picture_size(shape: tuple[int, ...], *, height_px: int) -> tuple[int, int]:
    """(width, height), never larger than the source."""
    scale = min(1.0, height_px / shape[0])
    return max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale))


def _gray(mammogram: Mammogram, size: tuple[int, int]) -> NDArray[np.uint8]:
    veiled = veil_outside(mammogram.pixels, mammogram.breast).astype(np.float32)
    return np.asarray(np.clip(_shrunk(veiled, size) * (255 / mammogram.max_value), 0, 255), dtype=np.uint8)


def _shrunk(plane: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), dtype=np.float32)


def _block_means(plane: Map, step: int) -> NDArray[np.float16]:
    bottom, right = -plane.shape[0] % step, -plane.shape[1] % step
    whole = cv2.copyMakeBorder(plane, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
    size = (whole.shape[1] // step, whole.shape[0] // step)
    return np.asarray(cv2.resize(whole, size, interpolation=cv2.INTER_AREA), dtype=np.float16)
