"""Describe imported features: where a slide's file is, what its header says, and the fingerprint of what was declared.

A slide corresponds to a breast here: a bag (or a part of a patient's bag) of tiles, each with a vector and, if known, a
box.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tilebank.fingerprint import fingerprint_of

EXCHANGE_VERSION = 1  # of how vectors are brought in; rises when the same file would make other vectors


@dataclass(frozen=True)
class SlideFile:
    """Where the features of one slide lie: a file, the group in a file of many slides, a second file of coordinates."""

    slide_id: str
    uri: str
    group: str = ""
    coords_uri: str = ""


@dataclass(frozen=True)
class SlideHeader:
    """What a file's header and attributes say, read before its vectors.

    dim is 0 for a slide without any tile. provenance: what shaped the vectors, as text. tile_px: side of a tile in the
    pixels of its box, 0 where it is not known. um_per_px: what a coordinate in micrometres is divided by, 0 where
    coordinates are source pixels (level 0 of the slide). rows, columns: size of the slide at level 0, 0 if not known.
    """

    tiles: int
    dim: int
    dtype: str
    provenance: Mapping[str, str]
    tile_px: int = 0
    um_per_px: float = 0.0
    rows: int = 0
    columns: int = 0


@dataclass(frozen=True)
class Rounding:
    """What float16 made of the values: how many there were, how many it changed, how many became zero."""

    values: int = 0
    changed: int = 0
    vanished: int = 0

    def __add__(self, other: "Rounding") -> "Rounding":
        """Both together."""
        return Rounding(self.values + other.values, self.changed + other.changed, self.vanished + other.vanished)


@dataclass(frozen=True, eq=False)
class Slide:
    """One slide: vectors (N, D) float16, corners (N, 2) int32 as x, y or None where no box is known."""

    header: SlideHeader
    vectors: NDArray[np.float16]
    corners: NDArray[np.int32] | None
    rounding: Rounding


def declared_fingerprint(*, layout: str, encoder: str, bag: str, provenance: Mapping[str, str]) -> str:
    """The fingerprint of imported vectors, made of everything that is declared about them.

    It cannot be checked against the vectors, but vectors with different declarations never share a bag.
    """
    return fingerprint_of(
        {
            "made": "elsewhere",
            "version": EXCHANGE_VERSION,
            "layout": layout,
            "encoder": encoder,
            "bag": bag,
            "provenance": dict(provenance),
        }
    )
