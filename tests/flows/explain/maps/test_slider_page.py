"""The page of an exam's maps: one file, its boxes and numbers, its pictures, and what hostile ids do to it."""

import base64
import hashlib
import re
from collections.abc import Sequence
from html.parser import HTMLParser

import cv2
import numpy as np

from tilebank.flows.explain.maps.slider_page import render_exam
from tilebank.imaging.maps.layers import MapLayers
from tilebank.imaging.maps.picture import ExplainedBreast, ExplainedView
from tilebank.terms import Finding, Laterality, ScoredBox, TileBox

HOSTILE = "</script><script>alert(1)</script>'\"&"
WINDOW = TileBox(100, 40, 600, 1400)


def view_of(seed: int, *, image_id: str = "1.2.3", words: str = "mass") -> ExplainedView:
    """A view at the height that pages take, as noisy as pictures come: its files are the largest."""
    rng = np.random.default_rng(seed)
    gray, strength = (rng.integers(0, 256, (1400, 600)).astype(np.uint8) for _ in range(2))
    layers = MapLayers(WINDOW, cv2.GaussianBlur(gray, (0, 0), 2), cv2.GaussianBlur(strength, (0, 0), 30))
    suggested = (ScoredBox(TileBox(150, 90, 210, 220), 0.875), ScoredBox(TileBox(560, 1300, 200, 200), 0.00125))
    return ExplainedView(image_id, "MLO", layers, suggested, (Finding("1", (words,), TileBox(300, 700, 77, 88), "4"),))


def breast_of(view: ExplainedView, *, breast_id: str = "E1_L") -> ExplainedBreast:
    parts = {"views": 0.5, "tiles": -0.25}
    return ExplainedBreast(breast_id, Laterality.L, {"score": 0.734}, [view], threshold=0.41, contributions=parts)


class Page(HTMLParser):
    """Every element with its attributes, and the text of every table cell."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.text += f" {data.strip()}" if data.strip() else ""

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


def test_a_page_needs_nothing_beside_it() -> None:
    html = render_exam("E1", [breast_of(view_of(0))], head="a head")
    page = Page(html)
    sources = [value for _, attrs in page.elements for name, value in attrs.items() if name in ("src", "href")]
    assert len(sources) == 2
    assert all(source.startswith("data:image/") for source in sources)
    assert not page.all("link")
    assert "url(" not in html
    assert len(html) < 1_000_000, "of noise: a mammogram takes a third of it"


def test_a_view_has_its_slider_its_map_and_its_boxes_in_source_pixels() -> None:
    page = Page(render_exam("E1", [breast_of(view_of(0))], head="a head"))
    assert [slider["max"] for slider in page.all("input") if slider["type"] == "range"] == ["100"]
    assert page.all("svg")[0]["viewbox"] == "100 40 600 1400"
    rects = [tuple(int(rect[name]) for name in ("x", "y", "width", "height")) for rect in page.all("rect")]
    assert sorted(set(rects)) == [(150, 90, 210, 220), (300, 700, 77, 88), (560, 1300, 200, 200)]
    groups = [attributes["class"] for attributes in page.all("g")]
    assert groups == ["annotated", "suggested", "suggested"]
    gray, colours = (
        cv2.imdecode(np.frombuffer(base64.b64decode(image["src"].split(",")[1]), np.uint8), cv2.IMREAD_UNCHANGED)
        for image in page.all("img")
    )
    assert (gray.shape, colours.shape) == ((1400, 600), (700, 300, 4))
    shown = cv2.resize(view_of(0).layers.strength, (300, 700), interpolation=cv2.INTER_AREA)
    assert np.abs(colours[:, :, 3].astype(int) - shown).max() <= 2, "at the slider's end the strongest place is opaque"
    for words in (
        "0.875",
        "0.00125",
        "0.734",
        "at or above the threshold 0.410",
        "+0.500",
        "-0.250",
        "mass",
        "BI-RADS 4",
    ):
        assert words in page.text
    assert "Research software, not a medical device." in page.text


def test_text_of_tables_stays_text_and_no_script_but_our_own_may_run() -> None:
    plain = Page(render_exam("E1", [breast_of(view_of(0))], head="a head"))
    view = view_of(0, image_id=HOSTILE, words=HOSTILE)
    html = render_exam(HOSTILE, [breast_of(view, breast_id=HOSTILE)], head=HOSTILE)
    page = Page(html)
    assert [name for name, _ in page.elements] == [name for name, _ in plain.elements]
    assert page.text.count("alert(1)") >= 5
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    policy = next(meta["content"] for meta in page.all("meta") if "http-equiv" in meta)
    assert f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" in policy
    assert "default-src 'none'" in policy


def test_a_legend_names_what_is_there() -> None:
    bare = ExplainedView("1", "CC", view_of(0).layers)
    breast = ExplainedBreast("E1_R", Laterality.R, {"mass": 0.2, "calcification": 0.9}, [bare])
    page = Page(render_exam("E1", [breast], head=""))
    assert [each["id"] for each in page.all("input") if each["type"] == "checkbox"] == ["suggested"]
    assert "annotated by readers" not in page.text
    assert "the threshold" not in page.text
    for words in ("Right breast", "mass", "0.200", "calcification", "0.900"):
        assert words in page.text
