"""Plan and cut tiles on a breast mask, and resize the whole view to the encoder's input."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tilebank.errors import ImageError
from tilebank.imaging.breast import mask_box
from tilebank.terms import TileBox

TILING_VERSION = 1  # raise it when the same settings would give other tiles: it is part of the fingerprint


@dataclass(frozen=True)
class TilingConfig:
    """Where tiles lie.

    overlap: share of a tile's side that it shares with its neighbour; 0 is the published rule for classification.
    min_tissue_fraction: a tile is dropped when its share of breast pixels is not above this. At 0 every breast pixel
    is covered by some tile; above 0 the rim may be lost.
    flip_to_left: mirror the images whose chest wall is on the right, so that an encoder sees all breasts alike.
    """

    overlap: float = 0.0
    min_tissue_fraction: float = 0.0
    flip_to_left: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.overlap < 1 or not 0 <= self.min_tissue_fraction < 1:
            raise ValueError("overlap and min_tissue_fraction must be at least 0 and below 1")


@dataclass(frozen=True)
class Tile:
    """One planned tile: its box in source pixels and the share of it that is breast."""

    box: TileBox
    tissue_fraction: float


@dataclass(frozen=True)
class ImageInstances:
    """The instances of one image, the whole view first: pixels uint16 (n, S, S) in 0..max_value, places, the flip."""

    pixels: NDArray[np.uint16]
    plan: tuple[Tile, ...]
    flipped: bool
    max_value: int


def plan_tiles(mask: NDArray[np.bool_], config: TilingConfig, *, size_px: int) -> list[Tile]:
    """Square tiles of `size_px` on a regular grid over the breast's bounding box, row by row.

    The grid covers the whole box of `mask` (rows, columns). What it has to spare is split over both ends and moved into
    the image where there is room; otherwise the last tiles reach past the edge, where there is background. Raises
    ImageError (stage `tile`) when no tile is left.
    """
    box = mask_box(mask)
    stride = max(1, round(size_px * (1 - config.overlap)))
    xs = _starts(box.x, box.width, size_px=size_px, stride=stride, limit=mask.shape[1])
    ys = _starts(box.y, box.height, size_px=size_px, stride=stride, limit=mask.shape[0])
    tiles = []
    for y in ys:
        for x in xs:
            inside = mask[max(y, 0) : y + size_px, max(x, 0) : x + size_px]
            fraction = float(np.count_nonzero(inside)) / size_px**2
            if fraction > config.min_tissue_fraction:
                tiles.append(Tile(TileBox(x=x, y=y, width=size_px, height=size_px), fraction))
    if not tiles:
        reason = f"no tile of {size_px} px has more than {config.min_tissue_fraction:.0%} breast in it"
        raise ImageError("tile", reason, "NoTile")
    return tiles


def plan_view(mask: NDArray[np.bool_]) -> Tile:
    """The square that stands for the whole view: the breast's bounding box, its shorter side completed on both ends.

    The square keeps the aspect ratio and is moved into the image where there is room; what reaches past is background.
    """
    box = mask_box(mask)
    side = max(box.width, box.height)
    (x,) = _starts(box.x, box.width, size_px=side, stride=side, limit=mask.shape[1])
    (y,) = _starts(box.y, box.height, size_px=side, stride=side, limit=mask.shape[0])
    return Tile(TileBox(x=x, y=y, width=side, height=side), float(np.count_nonzero(mask)) / side**2)


def cut_tiles(
    pixels: NDArray[np.uint16], boxes: Sequence[TileBox], *, size_px: int, flip: bool = False
) -> NDArray[np.uint16]:
    """Cut boxes out of `pixels` (rows, columns) and bring each to (size_px, size_px): shape (N, size_px, size_px).

    A box of another size than `size_px` is resampled: area means when shrinking, bilinear when enlarging. `flip`
    mirrors each piece left to right; boxes stay those of the source.
    """
    tiles = np.zeros((len(boxes), size_px, size_px), dtype=np.uint16)
    for tile, box in zip(tiles, boxes, strict=True):
        piece = _cut(pixels, box)
        if piece.shape != (size_px, size_px):
            shrinks = box.width > size_px
            how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            piece = np.asarray(cv2.resize(piece, (size_px, size_px), interpolation=how), dtype=np.uint16)
        tile[:] = piece[:, ::-1] if flip else piece
    return tiles


def _cut(pixels: NDArray[np.uint16], box: TileBox) -> NDArray[np.uint16]:
    rows, columns = pixels.shape
    top, left = max(box.y, 0), max(box.x, 0)
    inside = pixels[top : min(box.y + box.height, rows), left : min(box.x + box.width, columns)]
    if inside.shape == (box.height, box.width):
        return inside
    piece = np.zeros((box.height, box.width), dtype=np.uint16)
    piece[top - box.y : top - box.y + inside.shape[0], left - box.x : left - box.x + inside.shape[1]] = inside
    return piece


def _starts(start: int, extent: int, *, size_px: int, stride: int, limit: int) -> list[int]:
    """Where tiles start along one axis so that [start, start + extent) is covered."""
    count = 1 + max(0, -(-(extent - size_px) // stride))
    span = size_px + (count - 1) * stride
    first = start - (span - extent) // 2
    first = max(0, min(first, limit - span))  # into the image; past its far edge where it is too small
    return [first + index * stride for index in range(count)]
