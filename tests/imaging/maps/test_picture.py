"""Pictures of maps: what is shown of an image, the colours, and where boxes are drawn."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from tests.conftest import half_disc, make_dicom

from tilebank.imaging.breast import MaskConfig
from tilebank.imaging.intensity import ReaderConfig
from tilebank.imaging.maps.layers import MapLayers, colour_strength, colour_table, cut_layers
from tilebank.imaging.maps.picture import ANNOTATED, SUGGESTED, ExplainedBreast, ExplainedView, draw_breast
from tilebank.imaging.reader import Mammogram, read_mammogram
from tilebank.terms import Finding, Laterality, ScoredBox, TileBox

BLANK = MapLayers(TileBox(100, 50, 300, 400), np.zeros((400, 300), np.uint8), np.zeros((400, 300), np.uint8))
BOX = TileBox(180, 150, 90, 120)


def mammogram_of(pixels: np.ndarray) -> Mammogram:
    content = make_dicom(pixels, WindowCenter="2048", WindowWidth="4096")
    return read_mammogram(content, reader=ReaderConfig(), mask=MaskConfig())


def drawn(*views: ExplainedView, **changes: object) -> np.ndarray:
    """RGB (H, W, 3)."""
    breast = replace(ExplainedBreast("E1_L", Laterality.L, {"score": 0.7}, views), **changes)
    png = np.frombuffer(draw_breast(breast, notice="For research."), np.uint8)
    return cv2.imdecode(png, cv2.IMREAD_COLOR)[:, :, ::-1]


def extent_of(picture: np.ndarray, value: int) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the patch of one gray; the rims of letters hold a few pixels of any gray."""
    gray = (picture == value).all(axis=2)
    ys, xs = np.flatnonzero(gray.sum(axis=1) > 40), np.flatnonzero(gray.sum(axis=0) > 40)
    return int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1


def test_layers_hold_the_breast_and_the_boxes_at_one_scale() -> None:
    pixels = half_disc(600, 450)
    mammogram = mammogram_of(pixels)
    attention = np.zeros(pixels.shape, np.float32)
    attention[300:340, 60:100] = 1
    layers = cut_layers(mammogram, attention, boxes=[TileBox(380, 250, 100, 20)], height_px=200)
    window = layers.window
    assert window.x + window.width == 450, "a box that reaches past the image widens the window to its edge, no further"
    assert layers.gray.shape == layers.strength.shape == (200, round(window.width * 200 / window.height))
    ys, xs = np.nonzero(layers.strength > 127)
    scale = 200 / window.height
    found = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]) / scale + np.tile([window.x, window.y], 2)
    np.testing.assert_allclose(found, [60, 300, 100, 340], atol=2 / scale)
    part = mammogram.pixels[window.y : window.y + window.height, window.x : window.x + window.width]
    row, column = 100, 30
    assert layers.gray[row, column] == pytest.approx(255 / 4095 * part[int(row / scale), int(column / scale)], abs=3)


def test_a_small_image_is_not_blown_up() -> None:
    mammogram = mammogram_of(half_disc(300, 200))
    layers = cut_layers(mammogram, np.zeros((300, 200), np.float32))
    assert layers.gray.shape == (layers.window.height, layers.window.width)


def test_text_burned_in_beside_the_breast_is_on_no_picture() -> None:
    plain = half_disc(600, 450)
    text = cv2.putText(np.zeros(plain.shape, np.uint8), "DOE JANE", (300, 60), cv2.FONT_HERSHEY_SIMPLEX, 0.8, 255, 2)
    burned = np.where(text > 0, np.uint16(4000), plain)
    assert (burned != plain).sum() > 300
    attention = np.zeros(plain.shape, np.float32)
    everything = [TileBox(0, 0, 450, 600)]
    shown = [cut_layers(mammogram_of(pixels), attention, boxes=everything).gray for pixels in (plain, burned)]
    np.testing.assert_array_equal(*shown)


def test_lightness_rises_evenly_with_strength() -> None:
    table = colour_table()
    lab = cv2.cvtColor((table[None, :, :3] / 255).astype(np.float32), cv2.COLOR_RGB2Lab)[0]
    steps = np.diff(lab[::15, 0])
    assert (steps > 0).all()
    assert steps.max() < 1.5 * steps.min()
    assert table[0, 3] == 0, "what says nothing hides nothing"
    assert (np.diff(table[:, 3].astype(int)) >= 0).all()
    assert table[-1, 3] < 200, "the breast is seen through the strongest colour"
    np.testing.assert_array_equal(colour_strength(np.array([[7]], np.uint8))[0, 0], table[7])


@pytest.mark.parametrize(("kind", "colour"), [("suggested", SUGGESTED), ("annotated", ANNOTATED)])
def test_boxes_are_drawn_where_they_lie(kind: str, colour: str) -> None:
    given = (ScoredBox(BOX, 0.5),) if kind == "suggested" else (Finding("1", (), BOX),)
    gray = np.zeros((400, 300), np.uint8)
    gray[115:205, 95:155] = 128  # well inside the box: source pixels 195..255, 165..255
    view = replace(ExplainedView("1", "MLO", replace(BLANK, gray=gray)), **{kind: given})
    picture = drawn(view)[120:-160]  # below the header and the view's name
    patch = extent_of(picture, 128)
    scale = (patch[2] - patch[0]) / 60
    expected = [patch[0] - 15 * scale, patch[1] - 15 * scale, patch[2] + 15 * scale, patch[3] + 15 * scale]
    rgb = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)])
    of_colour = (np.abs(picture.astype(int) - rgb) < 80).all(axis=2)  # edges between pixels are mixed
    columns = np.flatnonzero(of_colour[patch[1] : patch[3]].any(axis=0))  # beside the patch: no words stand there
    rows = np.flatnonzero(of_colour[:, patch[0] : patch[2]].sum(axis=1) > 0.4 * (patch[2] - patch[0]))
    np.testing.assert_allclose([columns[0], rows[0], columns[-1], rows[-1]], expected, atol=4)
    filled = of_colour[patch[1] : patch[3], columns[0] : columns[0] + 6].any(axis=1).mean()  # of the left side
    assert filled == 1 if kind == "suggested" else 0.3 < filled < 0.9, "one line is whole, the other broken"


def test_views_stand_side_by_side_at_one_scale() -> None:
    small = replace(BLANK, window=TileBox(0, 0, 150, 200), gray=np.full((200, 150), 90, np.uint8))
    large = replace(BLANK, gray=np.full((400, 300), 60, np.uint8))
    picture = drawn(ExplainedView("1", "CC", small), ExplainedView("2", "MLO", large))
    sizes = {}
    for value in (90, 60):
        left, top, right, bottom = extent_of(picture, value)
        sizes[value] = (left, right - left, bottom - top)
    assert sizes[90][0] + sizes[90][1] < sizes[60][0], "in the order given"
    np.testing.assert_allclose(2 * np.array(sizes[90][1:]), sizes[60][1:], rtol=0.02)


def test_the_verdict_needs_a_threshold() -> None:
    breast = ExplainedBreast("E1_L", Laterality.L, {"score": 0.7}, ())
    assert breast.verdict == ""
    assert replace(breast, threshold=0.7).verdict == "at or above the threshold 0.7000"
    assert replace(breast, threshold=0.71).verdict == "below the threshold 0.7100"
    several = replace(breast, scores={"mass": 0.7, "calcification": 0.1}, threshold=0.5)
    assert several.verdict == "", "a threshold is of one score"
    with_parts = drawn(ExplainedView("1", "CC", BLANK), contributions={"views": 0.5, "tiles": -0.2})
    assert (with_parts != drawn(ExplainedView("1", "CC", BLANK))).any()
