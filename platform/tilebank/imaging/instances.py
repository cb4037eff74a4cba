"""What an encoder sees of an image: the whole view and its tiles, cut at its size. Composes what tiling offers."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tilebank.imaging.breast import MaskConfig, chest_wall_on_right, keep_breast
from tilebank.imaging.tiling import Tile, TilingConfig, cut_tiles, plan_tiles, plan_view


@dataclass(frozen=True)
class ImageInstances:
    """The instances of one image: pixels uint16 (n, S, S) with the whole view first, their places, the flip."""

    pixels: NDArray[np.uint16]
    plan: tuple[Tile, ...]
    flipped: bool


def cut_instances(
    pixels: NDArray[np.uint16], breast: NDArray[np.bool_], *, mask: MaskConfig, tiling: TilingConfig, size_px: int
) -> ImageInstances:
    """Plan and cut one image, `pixels` and its mask `breast` (rows, columns). Raises ImageError (stage `tile`)."""
    flipped = tiling.flip_to_left and chest_wall_on_right(breast)
    plan = (plan_view(breast), *plan_tiles(breast, tiling, size_px=size_px))
    visible = keep_breast(pixels, breast, mask)
    cut = cut_tiles(visible, [tile.box for tile in plan], size_px=size_px, flip=flipped)
    return ImageInstances(pixels=cut, plan=plan, flipped=flipped)
