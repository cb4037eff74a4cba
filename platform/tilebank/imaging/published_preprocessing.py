"""Preprocess images as the reference method does, to reproduce its figures.

The heuristics are those of the released code of MIL-PF (mil-pf-core), described here and reimplemented:

1. The image is negated (maximum - value) when the fullest of 20 equal bins between minimum and maximum lies in the
   upper half; it is mirrored when the right half sums to more than the left.
2. Mask: 8 bits, Gaussian blur (side / 100), Otsu's threshold (Otsu 1979), erosion (side / 500), dilation (side / 10),
   the largest contour, filled. Kernels are odd; as released, a kernel's width is taken from the image's height and the
   other way round. Another release of the method uses half of Otsu's threshold; this is the released core's, whole.
3. Outside the mask is black; the box of what lies above Otsu's threshold is cut out and completed to a square with
   black on the right or below; by area means to 4096 x 4096; minimum to maximum becomes 0 to 1. That is the view.
4. Tiles lie over the box of a second mask, made on the square, in windows 10 % larger than the encoder's input (as
   released, the search for a growth of up to 10 % always ends there) that share 25 % at the least. A window with a mean
   above 5 % of the maximum is kept; an encoder sees its middle.

Values are kept in 16 bits here, in 32 bit floats there. Boxes are in source pixels, as everywhere.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tilebank.imaging.presentation import Presentation
from tilebank.imaging.tiling import ImageInstances, Tile
from tilebank.terms import TileBox

SIDE_PX = 4096
OVERLAP = 0.25
GROWTH = 1.1
MIN_MEAN = 0.05
MAX_VALUE = 65535
BLUR, ERODE, DILATE = 100, 500, 10  # a kernel's side is the image's, divided by this

Square = NDArray[np.float32]


@dataclass(frozen=True)
class Canvas:
    """The square (SIDE_PX, SIDE_PX) in 0..1, and its place: `x`, `y`, `side_px` in pixels of the mirrored image."""

    pixels: Square
    x: int
    y: int
    side_px: int
    flipped: bool


def present_published(stored: NDArray[np.int32]) -> Presentation:
    """Stored values (rows, columns), negated where the histogram says so; negative ones are lifted to begin at 0."""
    low, high = int(stored.min()), int(stored.max())
    counts = np.bincount((stored - low).ravel())
    bins, _ = np.histogram(np.arange(low, high + 1), bins=20, range=(low, high), weights=counts)
    pixels = high - stored if int(bins.argmax()) >= 10 else stored - min(0, low)
    return Presentation(pixels.astype(np.uint16), max(1, int(pixels.max())), "published")


def cut_published(pixels: NDArray[np.uint16], breast: NDArray[np.bool_], *, size_px: int) -> ImageInstances:
    """View and tiles of one image as the reference method cuts them; `breast` only says how much tissue a box holds."""
    canvas = _canvas(pixels)
    grown = int(size_px * GROWTH)
    margin = (grown - size_px) // 2
    corners = [(x + margin, y + margin) for x, y in _windows(canvas.pixels, grown)]
    view = cv2.resize(canvas.pixels, (size_px, size_px), interpolation=cv2.INTER_AREA)
    seen = [view, *(canvas.pixels[y : y + size_px, x : x + size_px] for x, y in corners)]
    boxes = [
        _source_box(canvas, x, y, side_px=side, columns=pixels.shape[1])
        for x, y, side in [(0, 0, SIDE_PX), *((x, y, size_px) for x, y in corners)]
    ]
    plan = tuple(Tile(box, _tissue(breast, box)) for box in boxes)
    return ImageInstances(
        pixels=np.rint(np.stack(seen) * np.float32(MAX_VALUE)).astype(np.uint16),
        plan=plan,
        flipped=canvas.flipped,
        max_value=MAX_VALUE,
    )


def _canvas(pixels: NDArray[np.uint16]) -> Canvas:
    columns = pixels.sum(axis=0, dtype=np.int64)
    half = pixels.shape[1] // 2
    flipped = bool(columns[:half].sum() < columns[half:].sum())
    upright = pixels[:, ::-1] if flipped else pixels
    breast = np.where(_mask(upright), upright, np.uint16(0))
    _, bright = cv2.threshold(_eight_bits(breast), 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    x, y, width, height = cv2.boundingRect(bright)
    side = max(width, height)
    square = cv2.copyMakeBorder(
        breast[y : y + height, x : x + width], 0, side - height, 0, side - width, cv2.BORDER_CONSTANT, value=0
    )
    resized = cv2.resize(square, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA).astype(np.float32)
    low, high = float(resized.min()), float(resized.max())
    return Canvas((resized - np.float32(low)) / np.float32(max(high - low, 1)), x, y, side, flipped)


def _mask(image: NDArray[np.uint16] | Square) -> NDArray[np.bool_]:
    blurred = cv2.GaussianBlur(_eight_bits(image), _kernel(image, BLUR), 0)
    _, bright = cv2.threshold(blurred, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    core = cv2.erode(bright, cv2.getStructuringElement(cv2.MORPH_RECT, _kernel(image, ERODE)))
    grown = cv2.dilate(core, cv2.getStructuringElement(cv2.MORPH_RECT, _kernel(image, DILATE)))
    contours, _ = cv2.findContours(grown, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if not contours:
        return np.ones(image.shape, np.bool_)
    largest = max(contours, key=cv2.contourArea)
    return np.asarray(cv2.drawContours(np.zeros_like(grown), [largest], -1, 1, cv2.FILLED) > 0)


def _kernel(image: NDArray[np.uint16] | Square, divisor: int) -> tuple[int, int]:
    rows, columns = image.shape
    return max(1, rows // divisor) | 1, max(1, columns // divisor) | 1


def _eight_bits(image: NDArray[np.uint16] | Square) -> NDArray[np.uint8]:
    values = image.astype(np.float32)
    low, high = values.min(), values.max()
    if high <= low:
        return np.zeros(image.shape, np.uint8)
    return np.asarray((np.float32(255) * (values - low) / (high - low)).astype(np.uint8))


def _windows(square: Square, grown: int) -> list[tuple[int, int]]:
    """Upper left corners (x, y) of the windows that are kept, row by row."""
    x, y, width, height = cv2.boundingRect(_mask(square).astype(np.uint8))
    corners = [(left, top) for top in _starts(y, height, grown) for left in _starts(x, width, grown)]
    least = MIN_MEAN * float(square.max())
    return [(x, y) for x, y in corners if float(square[y : y + grown, x : x + grown].mean()) > least]


def _starts(start: int, extent: int, grown: int) -> list[int]:
    count = max(1, int(np.ceil((extent - grown * OVERLAP) / (grown * (1 - OVERLAP)))))
    stride = int((extent - grown) / (count - 1)) if count > 1 else 0
    return [min(start + place * stride, SIDE_PX - grown) for place in range(count)]


def _source_box(canvas: Canvas, x: int, y: int, *, side_px: int, columns: int) -> TileBox:
    scale = canvas.side_px / SIDE_PX
    side = round(side_px * scale)
    left, top = canvas.x + round(x * scale), canvas.y + round(y * scale)
    return TileBox(x=columns - left - side if canvas.flipped else left, y=top, width=side, height=side)


def _tissue(breast: NDArray[np.bool_], box: TileBox) -> float:
    """The share of `box` that is breast; what reaches past the image is none."""
    inside = breast[max(box.y, 0) : box.y + box.height, max(box.x, 0) : max(0, box.x + box.width)]
    return float(np.count_nonzero(inside)) / (box.width * box.height)
