"""From the pixels of an image to what an encoder sees of it: the whole view and its tiles. Composes mask and tiling."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tilebank.imaging.breast import MaskConfig, breast_mask, chest_wall_on_right, keep_breast
from tilebank.imaging.tiling import Tile, TilingConfig, cut_tiles, plan_tiles, plan_view


@dataclass(frozen=True)
class ImageInstances:
    """The instances of one image: pixels uint16 (n, S, S) with the whole view first, their places, the flip."""

    pixels: NDArray[np.uint16]
    plan: tuple[Tile, ...]
    flipped: bool


def cut_instances(
    pixels: NDArray[np.uint16], *, mask: MaskConfig, tiling: TilingConfig, size_px: int
) -> ImageInstances:
    """Mask, plan and cut one image (rows, columns) in presentation polarity. Raises ImageError (`mask`, `tile`)."""
    breast = breast_mask(pixels, mask)
    flipped = tiling.flip_to_left and chest_wall_on_right(breast)
    plan = (plan_view(breast), *plan_tiles(breast, tiling, size_px=size_px))
    visible = keep_breast(pixels, breast, mask)
    cut = cut_tiles(visible, [tile.box for tile in plan], size_px=size_px, flip=flipped)
    return ImageInstances(pixels=cut, plan=plan, flipped=flipped)
