"""Set the size, colours and axes that all plots share.

Colours are from Okabe & Ito (2008), told apart without colour vision; the chosen thing is also a diamond.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREY, LIGHT = "#0072B2", "#D55E00", "#595959", "#BFBFBF"
PALETTE = (BLUE, ORANGE, "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # of several things that are alike
DASHES = (0, (4, 3))
_WIDTH_IN, _DPI = 5.4, 150


def open_figure(height_in: float, title: str, *, below: float = 0.0) -> "tuple[Figure, Axes]":
    """A figure with one panel; `below` adds a second one of that height under it, on the same x axis."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH_IN, height_in), dpi=_DPI, layout="constrained")
    if below:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[height_in - below, below])
        panels = [upper, lower]
    else:
        panels = [figure.subplots()]
    for axes in panels:
        _bare(axes)
    if title:
        panels[0].set_title(title, fontsize=12, loc="left")
    return figure, panels[0]


def open_figure_pair(height_in: float) -> "tuple[Figure, Axes, Axes]":
    """A figure of twice the width with two panels side by side, on the same y axis."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    apart = ConstrainedLayoutEngine(wspace=0.06)  # or the last number of one axis runs into the first of the other
    figure = Figure(figsize=(2 * _WIDTH_IN, height_in), dpi=_DPI, layout=apart)
    left, right = figure.subplots(1, 2, sharey=True)
    for axes in (left, right):
        _bare(axes)
    return figure, left, right


def mark_diamond(axes: "Axes", x: float, y: float, *, label: str) -> None:
    """The one thing that was chosen."""
    axes.plot(x, y, "D", color=ORANGE, markersize=8, markeredgecolor="white", linestyle="none", label=label, zorder=5)


def _bare(axes: "Axes") -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.tick_params(labelsize=10, color=GREY)
    axes.xaxis.label.set_fontsize(11)
    axes.yaxis.label.set_fontsize(11)
