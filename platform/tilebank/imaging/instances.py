"""Cut the instances of an image for an encoder: the whole view and its tiles."""

from collections.abc import Callable

from tilebank.imaging.breast import MaskConfig, chest_wall_on_right, keep_breast
from tilebank.imaging.intensity import IntensityMode, ReaderConfig
from tilebank.imaging.published_preprocessing import cut_published
from tilebank.imaging.reader import Mammogram
from tilebank.imaging.tiling import ImageInstances, TilingConfig, cut_tiles, plan_tiles, plan_view


def cut_instances(
    mammogram: Mammogram, *, reader: ReaderConfig, mask: MaskConfig, tiling: TilingConfig, size_px: int
) -> ImageInstances:
    """Plan and cut one image the way that `reader` asks for. Raises ImageError (stage `tile`).

    The published way has its own mask, overlap and flip, and ignores `mask` and `tiling`.
    """
    return WAYS.get(reader.intensity, _cut_breast)(mammogram, mask, tiling, size_px)


def _cut_breast(mammogram: Mammogram, mask: MaskConfig, tiling: TilingConfig, size_px: int) -> ImageInstances:
    breast = mammogram.breast
    flipped = tiling.flip_to_left and chest_wall_on_right(breast)
    plan = (plan_view(breast), *plan_tiles(breast, tiling, size_px=size_px))
    visible = keep_breast(mammogram.pixels, breast, mask)
    cut = cut_tiles(visible, [tile.box for tile in plan], size_px=size_px, flip=flipped)
    return ImageInstances(pixels=cut, plan=plan, flipped=flipped, max_value=mammogram.max_value)


def _cut_published(mammogram: Mammogram, _mask: MaskConfig, _tiling: TilingConfig, size_px: int) -> ImageInstances:
    return cut_published(mammogram.pixels, mammogram.breast, size_px=size_px)


WAYS: dict[IntensityMode, Callable[[Mammogram, MaskConfig, TilingConfig, int], ImageInstances]] = {
    IntensityMode.PUBLISHED: _cut_published,
}
