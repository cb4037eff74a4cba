"""Segment the breast: a mask without view markers, labels and padding."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tilebank.errors import ImageError
from tilebank.terms import TileBox

MASK_VERSION = 1  # raise it when the same settings would give another mask: it is part of the fingerprint


@dataclass(frozen=True)
class MaskConfig:
    """How the breast is separated from the background.

    working_px: length of the image's longer side while masking; the mask is decided on block means of that size.
    opening_px: bridges thinner than this (working pixels) between breast and a marker are cut.
    min_breast_fraction: a largest piece below this share of the image is not taken for a breast.
    blank_outside: set everything outside the breast to black, so that no encoder sees a view marker or a label.
    """

    working_px: int = 512
    opening_px: int = 7
    min_breast_fraction: float = 0.01
    blank_outside: bool = True


def breast_mask(pixels: NDArray[np.uint16], config: MaskConfig) -> NDArray[np.bool_]:
    """True where the breast is; same shape as `pixels` (rows, columns), presentation polarity (air is dark).

    The threshold lies just above the air: the level of the darkest mode plus a margin for its noise, never above Otsu's
    threshold (Otsu 1979), so that thin fatty skin is kept. The largest piece after an opening is the breast; what the
    opening shaved off it is given back, holes are filled. Raises ImageError (stage `mask`) where no breast is found.
    """
    rows, columns = pixels.shape
    step = max(1, round(max(rows, columns) / config.working_px))
    small = _block_means(pixels, step)
    above = (small > _air_threshold(small)).astype(np.uint8)
    piece = _largest_piece(above, opening_px=config.opening_px)
    if piece.sum() < config.min_breast_fraction * piece.size:
        share = float(piece.mean())
        raise ImageError(
            "mask", f"no breast found: the largest bright piece covers {share:.2%} of the image", "NoBreast"
        )
    if above.mean() > 0.999:
        raise ImageError("mask", "no breast found: the image has no background, or is constant", "NoBreast")
    full = np.repeat(np.repeat(piece, step, axis=0), step, axis=1)
    return full[:rows, :columns].astype(np.bool_)


def keep_breast(pixels: NDArray[np.uint16], mask: NDArray[np.bool_], config: MaskConfig) -> NDArray[np.uint16]:
    """`pixels` as an encoder may see them: black outside the mask, unless the config keeps it."""
    return np.where(mask, pixels, np.uint16(0)) if config.blank_outside else pixels


def mask_box(mask: NDArray[np.bool_]) -> TileBox:
    """The smallest rectangle that holds every True pixel. Raises ImageError (stage `mask`) for an empty mask."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        raise ImageError("mask", "no breast found: the mask is empty", "NoBreast")
    x, y = int(columns[0]), int(rows[0])
    return TileBox(x=x, y=y, width=int(columns[-1]) + 1 - x, height=int(rows[-1]) + 1 - y)


def chest_wall_on_right(mask: NDArray[np.bool_]) -> bool:
    """Whether the breast lies against the right edge: pixel evidence, so that a wrong header cannot flip an image."""
    half = mask.shape[1] // 2
    return int(mask[:, -half:].sum()) > int(mask[:, :half].sum())


def _block_means(pixels: NDArray[np.uint16], step: int) -> NDArray[np.float32]:
    """Means over step x step blocks; the last ones are completed by repeating the edge."""
    rows, columns = pixels.shape
    bottom, right = -rows % step, -columns % step
    whole = cv2.copyMakeBorder(pixels, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
    size = (whole.shape[1] // step, whole.shape[0] // step)
    return np.asarray(cv2.resize(whole, size, interpolation=cv2.INTER_AREA), dtype=np.float32)


def _air_threshold(small: NDArray[np.float32]) -> float:
    low, high = float(small.min()), float(np.percentile(small, 99.5))
    if high <= low:
        return high
    levels = np.clip((small - low) / (high - low) * 255, 0, 255).astype(np.uint8)
    otsu, _ = cv2.threshold(levels, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    dark = small[levels <= otsu]
    counts = np.bincount(levels[levels <= otsu], minlength=1)
    air = low + float(counts.argmax()) / 255 * (high - low)
    spread = 1.4826 * float(np.median(np.abs(dark[dark <= 2 * air - low + 1] - air))) if dark.size else 0.0
    margin = max(4 * spread, 0.015 * (high - low))
    return min(air + margin, low + float(otsu) / 255 * (high - low))


def _largest_piece(above: NDArray[np.uint8], *, opening_px: int) -> NDArray[np.uint8]:
    """The largest connected piece after an opening, with what the opening shaved off it, holes filled."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (opening_px, opening_px))
    # Outside the image counts as breast for the erosion, or the chest wall would be eaten away.
    opened = cv2.dilate(cv2.erode(above, disc, borderType=cv2.BORDER_REPLICATE), disc)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(opened, connectivity=4)
    if len(stats) < 2:
        return np.zeros_like(above)
    core = (labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())).astype(np.uint8)
    grown = cv2.dilate(core, disc) & above
    closed = cv2.morphologyEx(grown, cv2.MORPH_CLOSE, disc)
    _, pieces = cv2.connectedComponents(closed, connectivity=4)
    keep = np.unique(pieces[(core > 0) & (pieces > 0)])
    return _fill_holes(np.isin(pieces, keep).astype(np.uint8))


def _fill_holes(piece: NDArray[np.uint8]) -> NDArray[np.uint8]:
    contours, _ = cv2.findContours(piece, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(np.zeros_like(piece), contours, -1, 1, cv2.FILLED), dtype=np.uint8)
