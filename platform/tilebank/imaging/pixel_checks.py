"""Refuse images whose pixels show no breast: a constant image, or a page of text.

Cheap for a mammogram, which is recognised by its breast on a coarse grid: a large region that differs from the
background and whose values vary. Only images without such a region are checked closely.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from tilebank.errors import ImageError
from tilebank.imaging.intensity import StoredImage
from tilebank.terms import ImageKind

COARSE_PX = 512  # longer side of the grid on which a breast is looked for
TOLERANCE = 0.01  # of the value range: what differs less from the paper is paper
BREAST_WIDTH = 0.04  # of the shorter side: a breast is wider everywhere that counts
BREAST_AREA = 0.002  # of the image, at the least, is left of a breast without its outer half BREAST_WIDTH
FEW_VALUES = 0.5  # share of one value in a region, at the least, that is a bar
BAR_FILL = 0.95  # of its bounding box, at the least, is filled by a bar
PAPER_SHARE = 0.5  # of the image, at the least, is the paper of a page
GREY_SHARE = 0.1  # of a page, at the most, is neither paper nor ink
LETTERS = 40  # pieces of ink, at the least, make a page: a view marker has a dozen
LETTER_AREA = 0.001  # of the page, at the most, is one letter


def assert_not_blank_or_text(image: StoredImage) -> None:
    """Raise ImageError (stage `filter`, classes `constant` and `text_page`) where the pixels show no breast."""
    stored = image.stored
    step = max(1, -(-max(stored.shape) // COARSE_PX))
    coarse = stored[::step, ::step]
    sample = coarse if image.padding is None else coarse[~image.padding[::step, ::step]]
    if sample.size == 0 or sample.min() == sample.max():
        measured = stored if image.padding is None else stored[~image.padding]
        if measured.size == 0 or measured.min() == measured.max():
            raise ImageError("filter", "every pixel has the same value", ImageKind.CONSTANT.value)
    if not _has_breast(coarse) and _is_page(stored):
        raise ImageError("filter", "a page of text: two levels, many small pieces", ImageKind.TEXT_PAGE.value)


def _has_breast(coarse: NDArray[np.int32]) -> bool:
    """Whether a region wide enough for a breast differs from the commonest level, and is no bar of one value."""
    paper, reach = _paper(coarse)
    other = (np.abs(coarse - paper) > TOLERANCE * reach).astype(np.uint8)
    if other.mean() > 1 - PAPER_SHARE:
        return True  # or something else, but no page
    width = max(3, round(BREAST_WIDTH * min(coarse.shape)))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    core = cv2.erode(other, disc, borderType=cv2.BORDER_REPLICATE)  # the chest wall lies against the edge
    _, labels, stats, _ = cv2.connectedComponentsWithStats(core, connectivity=4)
    for piece, (_, _, columns, rows, area) in enumerate(stats[1:].tolist(), start=1):
        if area >= BREAST_AREA * core.size:
            values = coarse[labels == piece]
            commonest = int(np.bincount(values - values.min()).max())
            if commonest < FEW_VALUES * area or area < BAR_FILL * columns * rows:
                return True
    return False


def _is_page(stored: NDArray[np.int32]) -> bool:
    """Whether nearly every pixel is paper or ink, and the ink comes in many small pieces."""
    paper, reach = _paper(stored)
    apart = np.abs(stored - paper)
    grey = (apart > 0.1 * reach) & (apart < 0.9 * reach)
    if np.count_nonzero(grey) > GREY_SHARE * stored.size:
        return False
    _, _, stats, _ = cv2.connectedComponentsWithStats((apart > 0.5 * reach).astype(np.uint8), connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    return int(np.count_nonzero((areas >= 4) & (areas <= LETTER_AREA * stored.size))) >= LETTERS


def _paper(stored: NDArray[np.int32]) -> tuple[int, int]:
    """The commonest level, noise of TOLERANCE aside, and how far the farthest value lies from it."""
    low, high = int(stored.min()), int(stored.max())
    width = max(1, round(TOLERANCE * (high - low)))
    counts = np.bincount((stored - low).ravel())
    level = width * int(np.add.reduceat(counts, np.arange(0, counts.size, width)).argmax())
    around = counts[level : level + width]
    paper = low + level + round(float(np.average(np.arange(around.size), weights=around)))
    return paper, max(high - paper, paper - low)
