"""What the store returns: the vectors of breasts as ragged arrays, the places of tiles, and facts about views."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class BagArrays:
    """The vectors of some breasts, never padded. Bag b of the views is rows view_offsets[b]:view_offsets[b+1].

    view_features (Nv, D) float16, view_offsets (B+1,) int64; tile_features (Nt, D) float16, tile_offsets (B+1,) int64;
    breast_ids in the order of the bags. Within a bag: by image id, then by the box from top to bottom, left to right,
    or by number where boxes are not known.
    """

    view_features: NDArray[np.float16]
    view_offsets: NDArray[np.int64]
    tile_features: NDArray[np.float16]
    tile_offsets: NDArray[np.int64]
    breast_ids: tuple[str, ...]


@dataclass(frozen=True)
class TilePlaces:
    """The places of tiles: image, view and box (x, y, width, height) in source pixels (Nt, 4) int32.

    A box of width 0 is not known, which may be so for imported vectors.
    Tiles stand in the order of `BagArrays.tile_features`, and offsets are the same.
    """

    image_ids: NDArray[np.object_]
    views: NDArray[np.object_]
    boxes: NDArray[np.int32]
    offsets: NDArray[np.int64]


@dataclass(frozen=True)
class StoredBreast:
    """A breast that has vectors."""

    patient_id: str
    exam_id: str
    breast_id: str
    laterality: str


@dataclass(frozen=True)
class StoredView:
    """What the reader recorded of one stored image: view position, manufacturer, kind, and its intensity rule."""

    breast_id: str
    view: str
    manufacturer: str
    image_kind: str
    windowed_by: str
