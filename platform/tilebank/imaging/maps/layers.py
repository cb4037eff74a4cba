"""Make the layers of a map's picture: the breast in gray, the map's strength and its colours.

Layers are small, so that they can be made where the image is read and drawn where all images of the exam are there.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tilebank.imaging.breast import mask_box
from tilebank.imaging.maps.attention_map import Map
from tilebank.imaging.reader import Mammogram
from tilebank.terms import TileBox

COLOURS = "inferno"  # lightness rises evenly with the value, with and without full colour vision
DARKEST = 0.25  # of the colour map, where the strength is 0: black would hide the breast, not mark it
OPAQUE = 0.6  # at full strength; the alpha falls to 0 with the strength, so that what says little hides nothing
MARGIN = 0.02  # of the breast's longer side, left around it


@dataclass(frozen=True)
class ColourScale:
    """Which heights of a map have no colour (`low` and less) and the fullest (`high` and more), which is `strength`."""

    low: float
    high: float
    strength: float = 1.0

    def shade(self, heights: Map, breast: NDArray[np.bool_]) -> Map:
        """How strong the colour is at each pixel, (rows, columns) between 0 and 1; 0 outside the breast."""
        reach = max(self.high - self.low, float(np.finfo(np.float32).tiny))
        unit = np.clip((heights - np.float32(self.low)) / np.float32(reach), 0, 1)
        return np.where(breast, np.float32(self.strength) * unit, np.float32(0))


@dataclass(frozen=True)
class MapLayers:
    """The part of an image that is shown, and it: gray and strength, both uint8 (h, w). window: in source pixels."""

    window: TileBox
    gray: NDArray[np.uint8]
    strength: NDArray[np.uint8]


def cut_layers(
    mammogram: Mammogram, attention: Map, *, boxes: Sequence[TileBox] = (), height_px: int = 1400
) -> MapLayers:
    """The breast with a margin and with `boxes`, at most `height_px` high.

    attention: the strength of its colour, (rows, columns) in 0..1. Gray is as the reader windowed it. Outside the
    breast it is black: text burned into the pixels is on no picture.
    """
    rows, columns = mammogram.pixels.shape
    window = _window(mask_box(mammogram.breast), boxes, rows=rows, columns=columns)
    part = np.s_[window.y : window.y + window.height, window.x : window.x + window.width]
    scale = min(1.0, height_px / window.height)
    size = (max(1, round(window.width * scale)), max(1, round(window.height * scale)))
    shown = np.where(mammogram.breast[part], mammogram.pixels[part], np.uint16(0))
    gray = cv2.resize(shown, size, interpolation=cv2.INTER_AREA).astype(np.float32) / mammogram.max_value
    strength = cv2.resize(attention[part], size, interpolation=cv2.INTER_AREA)
    return MapLayers(window, *(np.rint(255 * np.clip(layer, 0, 1)).astype(np.uint8) for layer in (gray, strength)))


def colour_strength(strength: NDArray[np.uint8], *, opaque: float = OPAQUE) -> NDArray[np.uint8]:
    """RGBA (h, w, 4) to lay over the gray: the stronger, the lighter and the less transparent."""
    return colour_table(opaque=opaque)[strength]


def colour_table(*, opaque: float = OPAQUE) -> NDArray[np.uint8]:
    """RGBA (256, 4) of every strength."""
    from matplotlib import colormaps

    unit = np.linspace(0, 1, 256)
    table = colormaps[COLOURS](DARKEST + (1 - DARKEST) * unit)
    table[:, 3] = opaque * unit
    return np.asarray(np.rint(255 * table), dtype=np.uint8)


def _window(breast: TileBox, boxes: Sequence[TileBox], *, rows: int, columns: int) -> TileBox:
    """The smallest rectangle within the image that holds the breast, with its margin, and the boxes."""
    margin = round(MARGIN * max(breast.width, breast.height))
    held = (breast, *boxes)
    left, top = min(box.x for box in held) - margin, min(box.y for box in held) - margin
    right, bottom = max(box.x + box.width for box in held) + margin, max(box.y + box.height for box in held) + margin
    x, y = max(0, left), max(0, top)
    return TileBox(x=x, y=y, width=min(columns, right) - x, height=min(rows, bottom) - y)
