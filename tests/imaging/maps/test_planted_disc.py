"""A bright disc planted in an image comes back at its place: reader, tiles, map, picture and marks share one grid.

Whatever an image's polarity, side or storage: a flip, a swap of axes or an offset on the way would move the disc.
"""

import csv
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian

from tilebank.imaging.breast import MaskConfig
from tilebank.imaging.dicom.presentation_state import MarkAuthor, mark_image
from tilebank.imaging.dicom.reader import read_stored
from tilebank.imaging.instances import cut_instances
from tilebank.imaging.intensity import ReaderConfig
from tilebank.imaging.maps.attention_map import MapConfig, assemble_map, normalise_map
from tilebank.imaging.maps.layers import cut_layers
from tilebank.imaging.reader import Mammogram, read_mammogram
from tilebank.imaging.tiling import TilingConfig
from tilebank.terms import ScoredBox, TileBox

FILES = ("1-A_L_CC", "1-A_R_CC", "2-A_L_CC", "2-A_L_MLO", "2-A_R_CC", "2-A_R_MLO")
EXAMPLES = {("1-A_L_CC", "as stored"), ("1-A_R_CC", "other polarity"), ("2-A_R_MLO", "mirrored")}
TILE_PX = 160  # the narrowest of these breasts is 784 pixels wide
OVERLAP = TilingConfig(overlap=0.75)
AUTHOR = MarkAuthor("share of white", "1", datetime(2026, 1, 2))


@dataclass(frozen=True)
class Planted:
    """A DICOM file, and the disc in it: centre (x, y) and radius in its stored pixels, and the value of its pixels."""

    content: bytes
    centre: tuple[int, int]
    radius: int
    value: int


def place_in(content: bytes) -> tuple[int, int]:
    """The place in the breast, a tile or more from its rim and from the edges, that either flip would move farthest."""
    mammogram = read(content)
    rows, columns = mammogram.breast.shape
    room = cv2.copyMakeBorder(mammogram.breast.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    ys, xs = np.nonzero(cv2.distanceTransform(room, cv2.DIST_L2, 5)[1:-1, 1:-1] > TILE_PX)
    moved = np.minimum(abs(columns - 1 - 2 * xs), abs(rows - 1 - 2 * ys))
    assert moved.max() > TILE_PX, "a flip on the way would not be seen"
    return int(xs[moved.argmax()]), int(ys[moved.argmax()])


def plant(content: bytes, *, centre: tuple[int, int], radius: int, mirror: bool, invert: bool) -> Planted:
    """The file with a white disc; uncompressed, `mirror`ed left to right and of the other polarity where asked for."""
    image = read_stored(content)
    dataset = pydicom.dcmread(BytesIO(content))
    stored, full = image.stored.copy(), (1 << image.rules.bits_stored) - 1
    white = int(stored.min() if image.rules.inverted else stored.max())
    cv2.circle(stored, centre, radius, white, cv2.FILLED)
    if mirror:
        stored, centre = stored[:, ::-1], (stored.shape[1] - 1 - centre[0], centre[1])
    if invert:
        stored, white = full - stored, full - white
        dataset.PhotometricInterpretation = "MONOCHROME2" if image.rules.inverted else "MONOCHROME1"
        for name in ("WindowCenter", "WindowWidth", "VOILUTSequence", "PresentationLUTShape"):
            if name in dataset:  # they are of the other polarity: the reader takes the range inside the breast
                del dataset[name]
        if "PixelPaddingValue" in dataset:
            dataset.PixelPaddingValue = full - dataset.PixelPaddingValue
    dataset.PixelData = np.ascontiguousarray(stored).astype("<u2").tobytes()
    dataset["PixelData"].VR = "OW"
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return Planted(buffer.getvalue(), centre, radius, white)


def read(content: bytes) -> Mammogram:
    return read_mammogram(content, reader=ReaderConfig(), mask=MaskConfig())


def map_of(mammogram: Mammogram, *, size_px: int) -> tuple[np.ndarray, bool]:
    """The map of how much white each tile shows, as an encoder would see the tile; whether tiles were mirrored."""
    cut = cut_instances(mammogram, reader=ReaderConfig(), mask=MaskConfig(), tiling=OVERLAP, size_px=size_px)
    boxes = np.array([[tile.box.x, tile.box.y, tile.box.width, tile.box.height] for tile in cut.plan[1:]], np.int32)
    white = (cut.pixels[1:] > 0.97 * cut.max_value).mean(axis=(1, 2))
    raw = assemble_map(boxes, white, breast=mammogram.breast, config=MapConfig(smoothing_px=size_px / 8))
    return normalise_map(raw, mammogram.breast), cut.flipped


def peak_of(attention: np.ndarray) -> tuple[int, int]:
    y, x = np.unravel_index(int(attention.argmax()), attention.shape)
    return int(x), int(y)


def assert_found(planted: Planted, *, size_px: int) -> bool:
    """The map, its picture and its marks point at the disc; returns whether the tiles were mirrored."""
    mammogram = read(planted.content)
    attention, flipped = map_of(mammogram, size_px=size_px)
    peak = peak_of(attention)
    away = np.hypot(peak[0] - planted.centre[0], peak[1] - planted.centre[1])
    assert away <= size_px / 4, f"the peak {peak} is {away:.0f} px from the disc at {planted.centre}"

    _, labels, stats, _ = cv2.connectedComponentsWithStats((attention > 0.6).astype(np.uint8), connectivity=4)
    x, y, width, height, _ = (int(number) for number in stats[labels[peak[1], peak[0]]])
    assert x <= planted.centre[0] < x + width
    assert y <= planted.centre[1] < y + height
    box = TileBox(x, y, width, height)

    layers = cut_layers(mammogram, attention, boxes=[box], height_px=700)
    scale = layers.gray.shape[0] / layers.window.height
    u, v = (np.array(planted.centre) - (layers.window.x, layers.window.y)) * scale
    assert layers.gray[int(v), int(u)] > 245
    assert layers.strength[int(v), int(u)] > 0.8 * 255

    marks = pydicom.dcmread(BytesIO(mark_image(planted.content, [ScoredBox(box, 1.0)], author=AUTHOR)))
    corners = np.reshape(marks.GraphicAnnotationSequence[0].GraphicObjectSequence[0].GraphicData, (5, 2)).astype(int)
    (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
    stored = pydicom.dcmread(BytesIO(planted.content)).pixel_array[top:bottom, left:right]
    assert (stored == planted.value).sum() > 0.8 * np.pi * planted.radius**2, "a viewer's rectangle holds the disc"
    return flipped


@pytest.mark.parametrize(
    ("name", "variant"),
    [
        pytest.param(name, variant, marks=() if (name, variant) in EXAMPLES else pytest.mark.long)
        for name in FILES
        for variant in ("as stored", "other polarity", "mirrored")
    ],
)
def test_a_disc_in_a_real_mammogram_is_found(real_mammograms: Path, name: str, variant: str) -> None:
    content = (real_mammograms / f"FFDM-{name}.dcm").read_bytes()
    mirror = variant == "mirrored"  # the header still names the side that it was
    invert = variant == "other polarity"
    planted = plant(content, centre=place_in(content), radius=TILE_PX // 3, mirror=mirror, invert=invert)
    flipped = assert_found(planted, size_px=TILE_PX)
    assert flipped == (("_R_" in name) != mirror), "tiles are mirrored by where the chest wall is, not by the header"


def test_a_disc_in_place_of_a_phantoms_finding_is_found_in_its_box(phantom_root: Path) -> None:
    with (phantom_root / "images.csv").open(newline="") as stream:
        images = {row["image_id"]: row for row in csv.DictReader(stream)}
    with (phantom_root / "findings.csv").open(newline="") as stream:
        findings = list({row["image_id"]: row for row in csv.DictReader(stream)}.values())
    seen = set()
    for row in findings[:: len(findings) // 12 | 1]:  # odd, for every other one is a CC
        image = images[row["image_id"]]
        x, y, width, height = (int(row[name]) for name in ("x", "y", "width", "height"))
        centre = (x + width // 2, y + height // 2)
        content = (phantom_root / image["file"]).read_bytes()
        planted = plant(content, centre=centre, radius=14, mirror=False, invert=False)
        mammogram = read(planted.content)
        attention, flipped = map_of(mammogram, size_px=40)
        np.testing.assert_allclose(peak_of(attention), centre, atol=20, err_msg=image["file"])
        seen |= {image["photometric"], image["laterality"], image["view"], flipped}
    assert seen == {"MONOCHROME1", "MONOCHROME2", "L", "R", "CC", "MLO", True, False}
