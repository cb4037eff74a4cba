"""Read an image file into a Mammogram: decoded, brought to presentation values, with its breast mask.

The order of the steps and the fall-backs between them; `intensity` defines the contract that they follow.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tilebank.errors import ImageError
from tilebank.imaging.breast import MaskConfig, breast_mask
from tilebank.imaging.formats import read_stored
from tilebank.imaging.intensity import IntensityMode, ReaderConfig, StoredImage
from tilebank.imaging.pixel_checks import assert_not_blank_or_text
from tilebank.imaging.presentation import (
    Presentation,
    present_as_stated,
    present_range,
    present_raw,
    why_unusable,
)
from tilebank.imaging.published_preprocessing import present_published
from tilebank.terms import ImageHeader

FLAT_SHARE = 0.99  # of the breast's pixels at one presentation value: the window shows nothing of it
SAMPLED_PX = 256  # longer side, about, of the grid on which that is counted


@dataclass(frozen=True)
class Mammogram:
    """One image in presentation polarity (air dark) at native depth, with its breast.

    pixels: uint16 (rows, columns) in 0..max_value; windowed_by says which rule made them: `lut`, `linear`,
    `linear_exact`, `sigmoid`, `range` (the fall-back), `minmax`, `raw` or `published`; breast: True where the breast
    is; warnings: what is odd but usable, the header's first.
    """

    header: ImageHeader
    pixels: NDArray[np.uint16]
    max_value: int
    windowed_by: str
    breast: NDArray[np.bool_]
    warnings: tuple[str, ...]


def read_mammogram(content: bytes, *, reader: ReaderConfig, mask: MaskConfig) -> Mammogram:
    """Decode one image file and bring it to presentation values.

    Raises ImageError: `read`, `decode`, `filter` (the pixels are constant, or a page of text) or `mask`.
    """
    return present_mammogram(read_stored(content), reader=reader, mask=mask)


def present_mammogram(image: StoredImage, *, reader: ReaderConfig, mask: MaskConfig) -> Mammogram:
    """What `read_mammogram` does after decoding. Raises ImageError (`decode`, `filter`, `mask`)."""
    if not 1 <= image.rules.bits_stored <= 16:
        raise ImageError("decode", f"{image.rules.bits_stored} bits stored: only 1 to 16 are known", "BitsStored")
    assert_not_blank_or_text(image)
    shown, breast, warnings = MODES[reader.intensity](image, mask)
    return Mammogram(
        header=image.header,
        pixels=shown.pixels,
        max_value=shown.max_value,
        windowed_by=shown.windowed_by,
        breast=breast,
        warnings=(*image.header.warnings, *warnings),
    )


_Shown = tuple[Presentation, NDArray[np.bool_], tuple[str, ...]]


def _by_voi(image: StoredImage, mask: MaskConfig) -> _Shown:
    """As the file says; where that cannot be done, or shows nothing of the breast, by the range inside the breast."""
    why = why_unusable(image.rules)
    if not why:
        shown = present_as_stated(image)
        if not _hides_breast(image, shown, mask):
            return shown, _breast(image, shown, mask), ()
        why = "the window shows the whole breast as one value"
    breast = _breast(image, present_range(image, None, by="minmax"), mask)
    warning = f"{why}: shown by the range of values in the breast"
    return present_range(image, breast, by="range"), breast, (warning,)


def _by_minmax(image: StoredImage, mask: MaskConfig) -> _Shown:
    shown = present_range(image, None, by="minmax")
    return shown, _breast(image, shown, mask), ()


def _by_raw(image: StoredImage, mask: MaskConfig) -> _Shown:
    shown = present_raw(image)
    return shown, _breast(image, shown, mask), ()


def _by_published(image: StoredImage, mask: MaskConfig) -> _Shown:
    shown = present_published(image.stored)
    return shown, _breast(image, shown, mask), ()


MODES: dict[IntensityMode, Callable[[StoredImage, MaskConfig], _Shown]] = {
    IntensityMode.VOI: _by_voi,
    IntensityMode.MINMAX: _by_minmax,
    IntensityMode.RAW: _by_raw,
    IntensityMode.PUBLISHED: _by_published,
}


def _breast(image: StoredImage, shown: Presentation, mask: MaskConfig) -> NDArray[np.bool_]:
    breast = breast_mask(shown.pixels, mask)
    return breast if image.padding is None else breast & ~image.padding


def _hides_breast(image: StoredImage, shown: Presentation, mask: MaskConfig) -> bool:
    """Whether (nearly) one presentation value is left of a breast that holds more; where that is, the range of all
    pixels says, on a coarse grid, because `shown` may show nothing but a marker.
    """
    step = max(1, max(image.stored.shape) // SAMPLED_PX)
    padding = None if image.padding is None else image.padding[::step, ::step]
    coarse = replace(image, stored=image.stored[::step, ::step], padding=padding)
    if padding is not None and padding.all():
        return False
    try:
        breast = _breast(coarse, present_range(coarse, None, by="minmax"), mask)
    except ImageError:
        return False  # then the window is not to blame
    return _is_flat(shown.pixels[::step, ::step][breast]) and not _is_flat(coarse.stored[breast])


def _is_flat(values: NDArray[np.int32] | NDArray[np.uint16]) -> bool:
    counts = np.bincount(values - values.min(initial=0))
    return bool(counts.max(initial=0) >= FLAT_SHARE * values.size)
