"""Draw the breast mask, the tiles and the whole view's square over a mammogram."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from tilebank.imaging.tiling import Tile

MASK_COLOUR, TILE_COLOUR, VIEW_COLOUR = (250, 210, 60), (70, 190, 110), (90, 140, 250)  # RGB


def draw_plan(
    pixels: NDArray[np.uint16],
    mask: NDArray[np.bool_],
    *,
    max_value: int,
    view: Tile,
    tiles: Sequence[Tile],
    height_px: int,
) -> NDArray[np.uint8]:
    """RGB picture (height_px, W, 3): the mask's outline, the tiles, the square that stands for the whole view."""
    scale = height_px / pixels.shape[0]
    size = (max(1, round(pixels.shape[1] * scale)), height_px)
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.float32) / max_value
    picture = cv2.cvtColor((255 * np.sqrt(small)).astype(np.uint8), cv2.COLOR_GRAY2RGB)  # dark skin made visible
    outline, _ = cv2.findContours(
        cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST),
        cv2.RETR_EXTERNAL,
        cv2.CHAIN_APPROX_NONE,
    )
    for tile, colour in [*((tile, TILE_COLOUR) for tile in tiles), (view, VIEW_COLOUR)]:
        box = tile.box
        corners = np.rint(np.asarray([box.x, box.y, box.x + box.width, box.y + box.height]) * scale).astype(int) - 1
        low, high = np.maximum(corners[:2], 0), np.minimum(corners[2:], (size[0] - 1, size[1] - 1))
        cv2.rectangle(picture, low.tolist(), high.tolist(), colour, 1, cv2.LINE_AA)
    cv2.drawContours(picture, outline, -1, MASK_COLOUR, 1, cv2.LINE_AA)
    return np.asarray(picture, dtype=np.uint8)


def png_bytes(picture: NDArray[np.uint8]) -> bytes:
    """An RGB picture (H, W, 3) as a PNG file."""
    _, encoded = cv2.imencode(".png", picture[:, :, ::-1])
    return bytes(encoded.tobytes())
