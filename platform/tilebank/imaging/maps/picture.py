"""Draw one picture per breast: its views side by side under their maps, with suggested and annotated boxes."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from textwrap import wrap
from typing import TYPE_CHECKING, Literal

from tilebank.imaging.maps.layers import MapLayers, colour_strength, colour_table
from tilebank.terms import Finding, Laterality, ScoredBox, TileBox

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patheffects import AbstractPathEffect

INK, QUIET, GROUND, HALO = "#f2f4f7", "#aab4c0", "#0d0f12", "#000000"
SUGGESTED, ANNOTATED = "#56d4ff", "#ffffff"  # neither is a colour of the map; the lines differ as well
_DPI = 130
LETTERS_AN_INCH = 13.5  # of the legend
_TALLEST_IN, _HEAD_IN, _FOOT_IN, _GAP_IN, _LEAST_WIDE_IN = 8.6, 1.05, 1.1, 0.25, 8.4

LineStyle = Literal["solid"] | tuple[float, tuple[float, float]]
SOLID: LineStyle = "solid"
DASHED: LineStyle = (0.0, (2.4, 1.7))  # short, for a calcification's box is a few points wide


@dataclass(frozen=True)
class ExplainedView:
    """One view: its layers, the boxes that the map suggests, surest first, and those that readers annotated."""

    image_id: str
    view: str
    layers: MapLayers
    suggested: Sequence[ScoredBox] = ()
    annotated: Sequence[Finding] = ()


@dataclass(frozen=True)
class ExplainedBreast:
    """One breast. scores: by answer, `score` for a head of one; threshold: of that one, None where there is none.

    contributions: a number for each stream (`views`, `tiles`); contributions_are: what these numbers are, in words;
    colours_are: the legend of the map's colours.
    """

    breast_id: str
    laterality: Laterality
    scores: Mapping[str, float]
    views: Sequence[ExplainedView]
    threshold: float | None = None
    contributions: Mapping[str, float] = field(default_factory=dict)
    contributions_are: str = "added to the logit"
    colours_are: str = "the map"

    @property
    def verdict(self) -> str:
        """The one score against its threshold, in words; empty where there is none, or more scores."""
        if self.threshold is None or len(self.scores) != 1:
            return ""
        side = "at or above" if next(iter(self.scores.values())) >= self.threshold else "below"
        return f"{side} the threshold {self.threshold:.4f}"


def draw_breast(breast: ExplainedBreast, *, notice: str) -> bytes:
    """PNG of the breast's views at one scale, chest walls as stored, under a header; `notice` stands below."""
    from matplotlib.figure import Figure

    inches_per_px = _TALLEST_IN / max(view.layers.window.height for view in breast.views)
    widths = [view.layers.window.width * inches_per_px for view in breast.views]
    wide = max(_LEAST_WIDE_IN, sum(widths) + _GAP_IN * (len(widths) + 1))
    high = _HEAD_IN + _TALLEST_IN + _FOOT_IN
    figure = Figure(figsize=(wide, high), dpi=_DPI, facecolor=GROUND)
    left = (wide - sum(widths) - _GAP_IN * (len(widths) - 1)) / 2
    for view, width in zip(breast.views, widths, strict=True):
        height = view.layers.window.height * inches_per_px
        bottom = _FOOT_IN + (_TALLEST_IN - height) / 2
        axes = figure.add_axes((left / wide, bottom / high, width / wide, height / high))
        _draw_view(axes, view, name=f"{breast.laterality.value} {view.view}")
        left += width + _GAP_IN
    _draw_head(figure, breast, wide=wide, high=high)
    _draw_foot(figure, breast, wide=wide, high=high, notice=notice)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", facecolor=GROUND)
    return picture.getvalue()


def _draw_view(axes: "Axes", view: ExplainedView, *, name: str) -> None:
    """In source pixels, so that boxes are drawn as they are."""
    window = view.layers.window
    right, bottom = window.x + window.width, window.y + window.height
    extent = (window.x, right, bottom, window.y)
    axes.imshow(view.layers.gray, cmap="gray", vmin=0, vmax=255, extent=extent, interpolation="antialiased")
    axes.imshow(colour_strength(view.layers.strength), extent=extent, interpolation="bilinear")
    for finding in view.annotated:
        words = ", ".join(finding.categories) or "finding"
        _draw_box(axes, finding.box, colour=ANNOTATED, line=DASHED, words=words, above=False, window=window)
    for box in view.suggested:
        _draw_box(axes, box.box, colour=SUGGESTED, line=SOLID, words=f"{box.score:.3g}", above=True, window=window)
    axes.set(xlim=(window.x, right), ylim=(bottom, window.y))
    axes.set_axis_off()
    axes.annotate(name, (0, 1), xycoords="axes fraction", xytext=(6, -6), textcoords="offset points", va="top",
                  color=INK, fontsize=13, fontweight="bold", path_effects=_halo(3))  # fmt: skip


def _draw_box(
    axes: "Axes", box: TileBox, *, colour: str, line: LineStyle, words: str, above: bool, window: TileBox
) -> None:
    """The rectangle, and its words on the side asked for, or on the other where that has no room."""
    from matplotlib.patches import Rectangle

    rectangle = Rectangle((box.x, box.y), box.width, box.height, fill=False, edgecolor=colour, linewidth=1.8,
                          linestyle=line, path_effects=_halo(3.6))  # fmt: skip
    axes.add_patch(rectangle)
    top, bottom, room = box.y - window.y, window.y + window.height - box.y - box.height, 0.03 * window.height
    on_top = top > room or bottom <= room if above else bottom <= room < top
    y, way = (box.y, 3) if on_top else (box.y + box.height, -3)
    at_right = box.x + box.width / 2 > window.x + 0.7 * window.width  # words would reach beyond the image
    x = min(box.x + box.width, window.x + window.width) if at_right else max(box.x, window.x)
    axes.annotate(words, (x, y), xytext=(-1 if at_right else 1, way), textcoords="offset points",
                  ha="right" if at_right else "left", va="bottom" if on_top else "top", color=colour, fontsize=9.5,
                  path_effects=_halo(2.6), annotation_clip=False)  # fmt: skip


def _draw_head(figure: "Figure", breast: ExplainedBreast, *, wide: float, high: float) -> None:
    left, first, second = _GAP_IN / wide, 1 - 0.42 / high, 1 - 0.8 / high
    scores = "   ".join(f"{answer} {score:.4f}" for answer, score in breast.scores.items())
    alone = len(breast.scores) == 1
    figure.text(left, first, scores, color=INK, fontsize=19 if alone else 13, fontweight="bold")
    figure.text(left + 2.1 / wide, first, breast.verdict, color=QUIET, fontsize=12)
    figure.text(1 - left, first, f"breast {breast.breast_id}", color=INK, fontsize=13, ha="right")
    if breast.contributions:
        parts = ",   ".join(f"{name} {value:+.3f}" for name, value in breast.contributions.items())
        figure.text(left, second, f"{parts}   ({breast.contributions_are})", color=INK, fontsize=12)


def _draw_foot(figure: "Figure", breast: ExplainedBreast, *, wide: float, high: float, notice: str) -> None:
    from matplotlib.lines import Line2D

    left = _GAP_IN / wide
    axes = figure.add_axes((left, 0.76 / high, 2.2 / wide, 0.14 / high))
    axes.imshow(colour_table()[None, :, :3], aspect="auto", interpolation="nearest")
    axes.set_axis_off()
    words = "\n".join(wrap(breast.colours_are, round(LETTERS_AN_INCH * (wide - 3))))
    figure.text(left + 2.35 / wide, 0.83 / high, words, color=QUIET, fontsize=10, va="center")
    entries = [(SUGGESTED, SOLID, "suggested by the map, with its score")]
    if any(view.annotated for view in breast.views):
        entries.append((ANNOTATED, DASHED, "annotated by readers"))
    handles = [
        Line2D([], [], color=colour, linestyle=line, linewidth=1.8, label=text) for colour, line, text in entries
    ]
    figure.legend(handles=handles, loc="center left", bbox_to_anchor=(left, 0.51 / high), ncols=2, frameon=False,
                  labelcolor=QUIET, fontsize=10, borderaxespad=0, borderpad=0)  # fmt: skip
    figure.text(left, 0.17 / high, notice, color=INK, fontsize=10)


def _halo(width: float) -> "list[AbstractPathEffect]":
    """A dark rim: what is drawn is seen on white tissue and on any colour of the map."""
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=width, foreground=HALO, alpha=0.75)]
