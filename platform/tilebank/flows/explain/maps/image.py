"""Map one image in a process of its own: read, mask, assemble the map, find its boxes.

A function of bytes and settings, called through `isolation`; imports no Ray, Lance or torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import cv2
import numpy as np
from numpy.typing import NDArray

from tilebank.errors import ImageError
from tilebank.evaluation.detection.map_boxes import BoxConfig, find_boxes, find_peak
from tilebank.evaluation.detection.published_boxes import PublishedBoxConfig, published_find_boxes
from tilebank.flows.engine.image_task import Expected, ImageRecipe, place_expected
from tilebank.imaging.breast import mask_box
from tilebank.imaging.formats import read_header
from tilebank.imaging.maps.attention_map import Map, MapConfig, Mask, assemble_map, normalise_map
from tilebank.imaging.maps.layers import ColourScale, MapLayers, cut_layers
from tilebank.imaging.reader import read_mammogram
from tilebank.terms import ScoredBox, TileBox


@dataclass(frozen=True, eq=False)
class TileValues:
    """The tiles of one image and size: boxes (n, 4) int32 in source pixels, raw values (n,).

    unit: what turns a value into the height of the map that boxes are taken from; config: how the map is drawn.
    """

    boxes: NDArray[np.int32]
    values: NDArray[np.float64]
    unit: float
    config: MapConfig


@dataclass(frozen=True)
class MapRecipe:
    """How an image is read, and what is made of its map."""

    image: ImageRecipe
    boxes: BoxConfig
    boxes_drawn: int
    picture_px: int
    step_px: int


@dataclass(frozen=True, eq=False)
class MappedImage:
    """One image with its map.

    shape: (rows, columns) of the source; boxes: in source pixels, the highest first; peak: x, y of the highest place;
    spacing_mm: (row, column) at the detector, None where not known; crop: the breast's bounding box; published: boxes
    by the published recipe, on its grid, where the image has annotated ones; layers: what a picture is made of; raw:
    values of the tiles, (r, c) for each scale, and unit: of the whole map between 0 and 1, (r, c); both are means over
    `step_px` source pixels each way.
    """

    shape: tuple[int, int]
    boxes: tuple[ScoredBox, ...]
    peak: tuple[int, int] | None
    spacing_mm: tuple[float, float] | None
    crop: TileBox
    published: tuple[ScoredBox, ...]
    layers: MapLayers
    raw: tuple[Map, ...]
    unit: Map


def map_image(
    content: bytes,
    expected: Expected,
    scales: Sequence[TileValues],
    *,
    recipe: MapRecipe,
    colours: ColourScale,
    annotated: Sequence[TileBox] = (),
) -> MappedImage:
    """The map of the file's image; the picture holds `annotated` boxes. Raises ImageError as an extraction does.

    colours: how strong the map's heights are in the picture; nothing else depends on it.
    """
    place_expected(read_header(BytesIO(content)), expected, intake=recipe.image.intake)
    mammogram = read_mammogram(content, reader=recipe.image.reader, mask=recipe.image.mask)
    breast = mammogram.breast
    raw = [_assembled(each, breast) for each in scales]
    heights = np.mean([np.float32(each.unit) * one for each, one in zip(scales, raw, strict=True)], axis=0)
    boxes = find_boxes(heights, breast, recipe.boxes)
    unit = normalise_map(heights, breast)
    crop = mask_box(breast)
    published = published_find_boxes(heights, breast, PublishedBoxConfig(), crop=crop) if annotated else []
    held = [*(box.box for box in boxes[: recipe.boxes_drawn]), *annotated]
    return MappedImage(
        shape=(breast.shape[0], breast.shape[1]),
        boxes=tuple(boxes),
        peak=find_peak(heights, breast),
        spacing_mm=mammogram.header.spacing_mm,
        crop=crop,
        published=tuple(published),
        layers=cut_layers(mammogram, colours.shade(heights, breast), boxes=held, height_px=recipe.picture_px),
        raw=tuple(_block_means(one, recipe.step_px) for one in raw),
        unit=_block_means(unit, recipe.step_px),
    )


def _assembled(tiles: TileValues, breast: Mask) -> Map:
    try:
        return assemble_map(tiles.boxes, tiles.values, breast=breast, config=tiles.config)
    except ValueError as error:  # the file is no longer the one that was tiled
        raise ImageError("tile", f"its stored tiles do not lie on it: {error}", "OtherImage") from error


def _block_means(plane: Map, step: int) -> Map:
    bottom, right = -plane.shape[0] % step, -plane.shape[1] % step
    whole = cv2.copyMakeBorder(plane, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
    size = (whole.shape[1] // step, whole.shape[0] // step)
    return np.asarray(cv2.resize(whole, size, interpolation=cv2.INTER_AREA), dtype=np.float32)
