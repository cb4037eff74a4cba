"""Imitate a vendor's machine: view marker, window, polarity and 12-bit values of a finished view.

The vendors are invented. Each maps the display scale (0 black, 1 white) to its own stored values and states the window
that maps them back, so that one breast looks the same from all of them (DICOM PS3.3 C.11.2.1.2 and C.11.2.1.3).
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tilebank.phantom.anatomy import Image

MAX_VALUE = 4095  # 12 bits stored
_SIGMOID_RANGE = (0.004, 0.985)  # a sigmoid never reaches 0 or 1


@dataclass(frozen=True)
class Vendor:
    """One machine's habits. The windows are those of bright-high values: (centre, width), the first one is meant."""

    manufacturer: str
    model: str
    photometric: str
    windows: tuple[tuple[float, float], ...]
    explanations: tuple[str, ...] = ("NORMAL",)
    jpeg2000: bool = False
    voi_function: str = ""  # empty: the element is left out, which means LINEAR
    marker: str = "{side} {view}"
    marker_top: float = 0.05  # share of the height
    stray_values: int = 1  # the background holds values below this one

    def stated_windows(self) -> list[tuple[float, float]]:
        """The windows for the values as stored: mirrored where 0 is white."""
        if self.photometric == "MONOCHROME2":
            return list(self.windows)
        # The linear function is centred half a value below its stated centre, the sigmoid is not.
        mirror = MAX_VALUE if self.voi_function == "SIGMOID" else MAX_VALUE + 1
        return [(mirror - centre, width) for centre, width in self.windows]


_VENDORS = (
    Vendor("Aster Imaging", "Aster 3D", "MONOCHROME2", windows=((2048, 4096),), jpeg2000=True),
    Vendor(
        "Borealis Medical",
        "B-70",
        "MONOCHROME1",
        windows=((1750, 2200),),
        voi_function="LINEAR",
        marker="{side}{view}",
        marker_top=0.07,
    ),
    Vendor("Cobalt Radiography", "Cobalt M", "MONOCHROME2", windows=((1850, 1500),), voi_function="SIGMOID"),
    Vendor(
        "Dune X-ray",
        "Dune II",
        "MONOCHROME1",
        windows=((2000, 2800), (2000, 2100), (2150, 3500)),
        explanations=("NORMAL", "HARDER", "SOFTER"),
        jpeg2000=True,
        marker="{side}-{view}",
        marker_top=0.10,
        stray_values=7,
    ),
)
VENDORS = {vendor.manufacturer: vendor for vendor in _VENDORS}


def stored_values(
    shown: Image, air: NDArray[np.bool_], *, vendor: Vendor, rng: np.random.Generator
) -> NDArray[np.uint16]:
    """Display scale to stored values. Air lies below every window: 0, or next to it, on a bright-high scale."""
    centre, width = vendor.windows[0]
    if vendor.voi_function == "SIGMOID":
        y = np.clip(shown, *_SIGMOID_RANGE)
        values = centre - width / 4 * np.log(1.0 / y - 1.0)
    else:
        values = (shown - 0.5) * (width - 1) + centre - 0.5
    values = np.clip(np.rint(values), 0, MAX_VALUE).astype(np.uint16)
    values[air] = rng.integers(0, vendor.stray_values, int(air.sum()), dtype=np.uint16)
    return values if vendor.photometric == "MONOCHROME2" else np.asarray(MAX_VALUE - values, dtype=np.uint16)


def marker_image(rows: int, columns: int, *, text: str, top: float, on_left: bool) -> Image:
    """The lead marker's shadow, 0..1, as (H, W): a line of text between the corners of a frame, near the edge away from
    the breast.
    """
    scale = rows / 2048
    font, size, line = cv2.FONT_HERSHEY_SIMPLEX, 2.2 * scale, max(1, round(5 * scale))
    (width, height), _ = cv2.getTextSize(text, font, size, line)
    gap = max(2, round(26 * scale))
    x0 = gap * 3 if on_left else columns - 3 * gap - width
    y0 = round(top * rows) + height + 2 * gap
    drawn = np.zeros((rows, columns), np.uint8)
    cv2.putText(drawn, text, (x0, y0), font, size, 255, line, cv2.LINE_AA)
    for x, inwards in ((x0 - gap, 1), (x0 + width + gap, -1)):
        for y, down in ((y0 - height - gap, 1), (y0 + gap, -1)):
            cv2.line(drawn, (x, y), (x + inwards * gap, y), 255, line, cv2.LINE_AA)
            cv2.line(drawn, (x, y), (x, y + down * gap), 255, line, cv2.LINE_AA)
    return drawn.astype(np.float32) / np.float32(255)
