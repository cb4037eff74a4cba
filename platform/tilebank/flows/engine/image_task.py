"""What is done with one image, in the process that can die: its header, its instances, a look at it.

Functions of bytes and settings, called through `isolation`; they import no Ray, Lance or torch, so that a child starts
quickly and stays small.
"""

from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np

from tilebank.datasets.intake import IntakeConfig, Placement, assert_included, place_image
from tilebank.errors import ImageError
from tilebank.files import open_file, read_bytes
from tilebank.imaging.breast import MaskConfig
from tilebank.imaging.formats import read_header
from tilebank.imaging.instances import cut_instances
from tilebank.imaging.intensity import ReaderConfig
from tilebank.imaging.reader import Mammogram, read_mammogram
from tilebank.imaging.tiling import TilingConfig
from tilebank.terms import ImageHeader

Row = dict[str, Any]

ADVICE = {
    "FileNotFoundError": ": it is not there; fetch it, or mend the path in the table",
    "PermissionError": ": let the user of this job read it",
}


@dataclass(frozen=True)
class ImageRecipe:
    """All that shapes an image's instances, and which images are asked for."""

    reader: ReaderConfig
    mask: MaskConfig
    tiling: TilingConfig
    size_px: int
    intake: IntakeConfig


@dataclass(frozen=True)
class Expected:
    """What the manifest says that a file holds; an empty `sop_instance_uid` is not checked."""

    laterality: str
    view: str
    sop_instance_uid: str


def header_of(uri: str) -> ImageHeader:
    """The header behind `uri`. Raises ImageError (stage `read`)."""
    try:
        with open_file(uri) as source:
            return read_header(source)
    except OSError as error:
        raise _unreadable(error) from error


def instances_of(content: bytes, expected: Expected, *, recipe: ImageRecipe) -> Row:
    """The columns of `stages.SEEN` and `stages.PLAN` for one file, pixels as bytes. Raises ImageError."""
    mammogram, placement = _read(content, expected, recipe=recipe)
    cut = cut_instances(mammogram, reader=recipe.reader, mask=recipe.mask, tiling=recipe.tiling, size_px=recipe.size_px)
    boxes = [(tile.box.x, tile.box.y, tile.box.width, tile.box.height) for tile in cut.plan]
    return _seen(mammogram, placement) | {
        "max_value": mammogram.max_value,
        "flipped": cut.flipped,
        "boxes": np.asarray(boxes, np.int32).tobytes(),
        "tissue": np.asarray([tile.tissue_fraction for tile in cut.plan], np.float32).tobytes(),
        "pixels": cut.pixels.tobytes(),
    }


def look_at(content: bytes, expected: Expected, *, recipe: ImageRecipe) -> Row:
    """The columns of `stages.SEEN` and `breast_fraction` for one file. Raises ImageError."""
    mammogram, placement = _read(content, expected, recipe=recipe)
    return _seen(mammogram, placement) | {"breast_fraction": float(mammogram.breast.mean())}


def place_expected(header: ImageHeader, expected: Expected, *, intake: IntakeConfig) -> Placement:
    """Side and view of an image that is asked for and is the expected one. Raises ImageError (`filter`, `identify`)."""
    assert_included(header.kind, view=header.view, special=header.special, intake=intake)
    if expected.sop_instance_uid and header.sop_instance_uid != expected.sop_instance_uid:
        reason = "the file holds another image than the manifest says (SOP Instance UID differs)"
        raise ImageError("identify", reason, "OtherImage")
    return place_image(header, laterality=expected.laterality, view=expected.view)


def fetch(uri: str) -> bytes:
    """The whole file. Raises ImageError (stage `read`)."""
    try:
        return read_bytes(uri)
    except OSError as error:
        raise _unreadable(error) from error


def _unreadable(error: OSError) -> ImageError:
    name = type(error).__name__
    return ImageError("read", f"the file cannot be read ({name}){ADVICE.get(name, '')}", name)


def _read(content: bytes, expected: Expected, *, recipe: ImageRecipe) -> tuple[Mammogram, Placement]:
    """The cheap refusals come before the decoding."""
    placement = place_expected(read_header(BytesIO(content)), expected, intake=recipe.intake)
    return read_mammogram(content, reader=recipe.reader, mask=recipe.mask), placement


def _seen(mammogram: Mammogram, placement: Placement) -> Row:
    header = mammogram.header
    return {
        "laterality_from": placement.laterality_from,
        "view_from": placement.view_from,
        "image_kind": header.kind.value,
        "special": ", ".join(header.special),
        "manufacturer": header.manufacturer,
        "rows": header.rows,
        "columns": header.columns,
        "windowed_by": mammogram.windowed_by,
        "warnings": "; ".join(mammogram.warnings),
    }
