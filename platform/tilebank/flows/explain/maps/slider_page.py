"""One exam's maps as an HTML file that needs nothing beside it: a slider from image to map in each view, boxes, scores.

The one script is named by its hash in the page's policy: no text of a table can become one.
"""

import base64
import hashlib
from collections.abc import Sequence

import cv2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from tilebank.flows.reporting.html import data_uri, render_figures
from tilebank.imaging.maps.layers import OPAQUE, colour_strength, colour_table
from tilebank.imaging.maps.picture import ANNOTATED, SUGGESTED, ExplainedBreast, ExplainedView

TEMPLATE = "explain/maps/slider_page.html.j2"
JPEG_QUALITY = 88
MAP_SHRINKS = 2  # a map is smooth: half the pixels each way lose nothing that is seen
SCRIPT = """
for (const slider of document.querySelectorAll("input[type=range]")) {
  const map = slider.closest("figure").querySelector(".map");
  const follow = () => { map.style.opacity = slider.value / 100; };
  slider.addEventListener("input", follow);
  follow();
}
"""


def render_exam(exam_id: str, breasts: Sequence[ExplainedBreast], *, head: str) -> str:
    """The page as HTML, breasts in the order given; head: which one explained, for people.

    About 0.2 MB a view of 1400 px, bounded by the layers' height.
    """
    fingerprint = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    steps = [f"rgb({r} {g} {b})" for r, g, b, _ in colour_table()[::17].tolist()]
    values = {
        "exam_id": exam_id,
        "head": head,
        "breasts": [
            (breast, _widest(breast), [(view, *_pictures(view)) for view in breast.views]) for breast in breasts
        ],
        "annotated": any(view.annotated for breast in breasts for view in breast.views),
        "colours": {"suggested": SUGGESTED, "annotated": ANNOTATED, "scale": ", ".join(steps)},
        "colours_are": breasts[0].colours_are if breasts else "",
        "start": round(100 * OPAQUE),
        "script": Markup(SCRIPT),
        "script_hash": f"sha256-{fingerprint}",
    }
    return render_figures(TEMPLATE, values, {})


def _widest(breast: ExplainedBreast) -> float:
    """What the longest bar of its contributions stands for."""
    return max((abs(value) for value in breast.contributions.values()), default=0.0) or 1.0


def _pictures(view: ExplainedView) -> tuple[str, str]:
    """Data URIs of the image and of the map; its full strength is opaque, for the slider goes up to the map alone."""
    colours = colour_strength(view.layers.strength, opaque=1.0)
    height, width = view.layers.strength.shape
    size = (max(1, width // MAP_SHRINKS), max(1, height // MAP_SHRINKS))
    small = np.asarray(cv2.resize(colours, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    gray = _encoded(".jpg", view.layers.gray, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return data_uri(gray, "jpeg"), data_uri(_encoded(".png", cv2.cvtColor(small, cv2.COLOR_RGBA2BGRA), []), "png")


def _encoded(kind: str, picture: NDArray[np.generic], settings: Sequence[int]) -> bytes:
    _, encoded = cv2.imencode(kind, picture, list(settings))
    return bytes(encoded.tobytes())
