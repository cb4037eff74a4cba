"""Read one slide's features from another tool's file: the header first, then vectors in blocks of rows.

Vectors become float16, as stored: changed values are counted, and values out of range are refused. N tile, D
dimension.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from tilebank.errors import ImageError
from tilebank.storage_errors import storage_reason
from tilebank.store.exchange.array_files import attributes_of, open_h5, open_npy
from tilebank.store.exchange.provenance import Rounding, Slide, SlideFile, SlideHeader

BLOCK_BYTES = 16 << 20  # of vectors as they are stored, read at once
PROVENANCE = (
    *("encoder", "extractor", "code_hash", "fingerprint"),
    *("patch_size", "target_magnification", "overlap", "patch_level", "downsample"),
    *("tile_size", "tile_size_um", "tile_size_px", "unit"),
)
"""The attributes that shape vectors; those of a single slide (its name, its own magnification) do not."""


def read_header(file: SlideFile, *, keys: Sequence[str]) -> SlideHeader:
    """The file's header, without reading vectors. Raises ImageError (stage `read`) with what is wrong."""
    with _opened(file, keys=keys) as held:
        return held.header


def read_slide(file: SlideFile, *, keys: Sequence[str]) -> Slide:
    """The whole slide, its vectors as float16. Raises ImageError (stage `read`), also for values that do not fit."""
    with _opened(file, keys=keys) as held:
        vectors, rounding = _vectors(held)
        return Slide(held.header, vectors, _corners(held), rounding)


@dataclass(frozen=True, eq=False)
class _Held:
    """An open slide: arrays that read from disk as they are indexed."""

    header: SlideHeader
    features: Any
    coords: Any | None


@contextmanager
def _opened(file: SlideFile, *, keys: Sequence[str]) -> Iterator[_Held]:
    try:
        if file.uri.endswith(".npy"):
            coords = open_npy(file.coords_uri) if file.coords_uri else None
            yield _held(open_npy(file.uri), coords, said={})
            return
        with open_h5(file.uri) as opened:
            group = opened[file.group] if file.group else opened
            features = _dataset(group, keys)
            if file.coords_uri:
                with _coords_beside(file.coords_uri) as coords:
                    yield _held(features, coords, said=attributes_of(opened, group, features))
                return
            coords = group["coords"] if isinstance(group.get("coords"), h5py.Dataset) else None
            parts = [opened, group, *([coords] if coords is not None else []), features]
            yield _held(features, coords, said=attributes_of(*parts))
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        raise ImageError("read", f"cannot be read: {storage_reason(error, file.uri)}", "DamagedFile") from error


@contextmanager
def _coords_beside(uri: str) -> Iterator[Any]:
    if uri.endswith(".npy"):
        yield open_npy(uri)
    else:
        with open_h5(uri) as opened:
            yield _dataset(opened, ("coords",))


def _dataset(group: h5py.Group, keys: Sequence[str]) -> h5py.Dataset:
    for key in keys:
        if isinstance(group.get(key), h5py.Dataset):
            return group[key]
    there = ", ".join(sorted(group)[:10]) or "nothing"
    raise ImageError("read", f"holds no {' or '.join(keys)} (it holds {there})", "NoFeatures")


def _held(features: Any, coords: Any | None, *, said: dict[str, str]) -> _Held:
    """The header of two arrays and their attributes. Raises ImageError where they are not a bag of tiles."""
    if said.get("feat_type", "tile") != "tile":
        raise ImageError("read", f"holds features of a {said['feat_type']}, and tiles are wanted", "NotTiles")
    tiles, dim = _shape_of(features, what="features")
    if tiles and not np.issubdtype(features.dtype, np.floating):
        raise ImageError("read", f"features are {features.dtype}, not floating-point numbers", "NotFloats")
    if coords is not None and (placed := _shape_of(coords, what="coords")) != (tiles, 2) and (tiles or placed[0]):
        raise ImageError("read", f"coords are {coords.shape} for {tiles} tiles", "CoordsDoNotFit")
    um_per_px = _um_per_px(said)
    header = SlideHeader(
        tiles=tiles,
        dim=dim if tiles else 0,
        dtype=str(features.dtype),
        provenance={name: said[name] for name in PROVENANCE if name in said},
        tile_px=_whole(said.get("tile_size_px" if um_per_px else "patch_size_level0", "")),
        um_per_px=um_per_px,
        rows=_whole(said.get("level0_height", "")),
        columns=_whole(said.get("level0_width", "")),
    )
    known = not (said.get("unit") == "um" and not um_per_px)  # micrometres of unknown pixels are no box
    return _Held(header, features, coords if known else None)


def _shape_of(array: Any, *, what: str) -> tuple[int, int]:
    """(N, D) of what may be stored as (N, D), (1, N, D), (N, 1, D), or for an empty slide (0,)."""
    shape = tuple(array.shape)
    if 0 in shape:
        return 0, 0
    if len(shape) == 3 and 1 in shape[:2]:
        return shape[0] * shape[1], shape[2]
    if len(shape) != 2:
        slide = " (one vector for a whole slide?)" if len(shape) == 1 else ""
        raise ImageError("read", f"{what} have the shape {shape}{slide}, and (tiles, numbers) is wanted", "NotTiles")
    return shape[0], shape[1]


def _um_per_px(said: dict[str, str]) -> float:
    """Micrometres to a pixel of the scale at which tiles were cut (STAMP); 0 where there are none."""
    try:
        um, px = float(said.get("tile_size_um", "0")), float(said.get("tile_size_px", "0"))
    except ValueError:
        return 0.0
    return um / px if px > 0 and math.isfinite(um / px) else 0.0


def _whole(text: str) -> int:
    """A whole number of pixels; 0 for what is none, as a size that is not known."""
    return int(text) if text.isascii() and text.isdigit() and int(text) < 1 << 31 else 0


def _rows(array: Any, start: int, stop: int) -> NDArray[Any]:
    """Rows of an array of one of the shapes of `_shape_of`."""
    if len(array.shape) == 3:
        return np.asarray(array[0, start:stop] if array.shape[0] == 1 else array[start:stop, 0])
    return np.asarray(array[start:stop])


def _vectors(held: _Held) -> tuple[NDArray[np.float16], Rounding]:
    """(N, D) float16, a block of rows at a time: no more than a block is held in the file's own precision."""
    tiles, dim = held.header.tiles, held.header.dim
    vectors, rounding = np.empty((tiles, dim), np.float16), Rounding()
    step = max(1, BLOCK_BYTES // max(1, dim * np.dtype(held.features.dtype).itemsize))
    for start in range(0, tiles, step):
        block = _rows(held.features, start, min(tiles, start + step))
        vectors[start : start + step], rounded = _halved(block)
        rounding += rounded
    return vectors, rounding


def _halved(block: NDArray[np.floating[Any]]) -> tuple[NDArray[np.float16], Rounding]:
    if broken := int(block.size - np.count_nonzero(np.isfinite(block))):
        raise ImageError("read", f"{broken} values or more are not finite; encode the slide again", "NotFinite")
    if block.dtype == np.float16:
        return block, Rounding(values=block.size)
    with np.errstate(over="ignore"):
        half = block.astype(np.float16)
    if too_large := int(np.count_nonzero(np.isinf(half))):
        largest = float(np.finfo(np.float16).max)
        reason = f"{too_large} values or more are beyond {largest:.0f}, the largest that float16 holds; scale them"
        raise ImageError("read", reason, "TooLarge")
    changed = half != block
    vanished = np.count_nonzero(changed & (half == 0))
    return half, Rounding(block.size, int(np.count_nonzero(changed)), int(vanished))


def _corners(held: _Held) -> NDArray[np.int32] | None:
    """x and y of every tile in pixels, (N, 2); None if the file has none."""
    if held.coords is None or not held.header.tiles:
        return None
    corners = _rows(held.coords, 0, held.header.tiles).astype(np.float64)
    if held.header.um_per_px:
        corners = corners / held.header.um_per_px
    rounded = np.rint(corners)
    if not (np.isfinite(rounded).all() and (np.abs(rounded) < 1 << 31).all()):
        raise ImageError("read", "coords hold values that are no place in an image", "NoPlace")
    return rounded.astype(np.int32)
