"""Draw mask and tiles of one image, in an isolated process. Imports no Ray or torch.

A veiled picture shows block means outside the breast: a piece of breast that the mask lost can be seen, text burned
into the pixels cannot be read.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tilebank.flows.engine.image_task import ImageRecipe
from tilebank.imaging.instances import cut_instances
from tilebank.imaging.reader import read_mammogram
from tilebank.imaging.tile_overlay import draw_plan, png_bytes

BLOCKS = 48  # along the longer side: a block is taller than burned-in letters are


@dataclass(frozen=True)
class Thumbnail:
    """A PNG with mask and tiles, and the figures that belong below it."""

    png: bytes
    windowed_by: str
    tiles: int
    breast_fraction: float


def thumbnail_of(content: bytes, *, recipe: ImageRecipe, height_px: int, veil: bool) -> Thumbnail:
    """Read, mask and tile the file as an extraction does, and draw it, veiled or whole. Raises ImageError."""
    mammogram = read_mammogram(content, reader=recipe.reader, mask=recipe.mask)
    cut = cut_instances(mammogram, reader=recipe.reader, mask=recipe.mask, tiling=recipe.tiling, size_px=recipe.size_px)
    view, *tiles = cut.plan
    picture = draw_plan(
        veil_outside(mammogram.pixels, mammogram.breast) if veil else mammogram.pixels,
        mammogram.breast,
        max_value=mammogram.max_value,
        view=view,
        tiles=tiles,
        height_px=height_px,
    )
    return Thumbnail(png_bytes(picture), mammogram.windowed_by, len(tiles), float(mammogram.breast.mean()))


def veil_outside(pixels: NDArray[np.uint16], breast: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """`pixels` (rows, columns) with those outside the breast replaced by the mean of such pixels in their block."""
    rows, columns = pixels.shape
    step = max(1, -(-max(rows, columns) // BLOCKS))
    ys, xs = np.arange(0, rows, step), np.arange(0, columns, step)

    def block_sums(values: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(np.add.reduceat(np.add.reduceat(values, ys, axis=0), xs, axis=1))

    outside = (~breast).astype(np.float32)  # (rows, columns)
    means = block_sums(pixels * outside) / np.maximum(block_sums(outside), 1)  # (blocks down, blocks across)
    veil = np.repeat(np.repeat(means.astype(np.uint16), step, axis=0), step, axis=1)[:rows, :columns]
    return np.where(breast, pixels, veil)
