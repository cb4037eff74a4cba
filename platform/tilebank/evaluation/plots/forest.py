"""Draw forest plots: the AUC of each subgroup of the test split, or of several heads."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tilebank.errors import DatasetError
from tilebank.evaluation.plots.style import BLUE, DASHES, GREY, LIGHT, ORANGE, open_figure, open_figure_pair
from tilebank.evaluation.scores import Estimate
from tilebank.evaluation.subgroups import Subgroup

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LINE_IN, _REST_IN = 0.27, 1.15
_LONGEST = 22  # characters of a name that fit beside the axis


@dataclass(frozen=True)
class ForestLine:
    """A head: its AUC on test, and how far it lies from the reference's; the reference itself has no difference."""

    name: str
    auc: Estimate
    difference: Estimate | None


def forest_figure(subgroups: Sequence[Subgroup], whole: Estimate, *, title: str = "") -> "Figure":
    """AUC and interval of every subgroup, by column; those without figures are named with their breasts.

    Raises DatasetError when there is no subgroup.
    """
    if not subgroups:
        raise DatasetError("no subgroups to draw; pass the parts of the test split")
    columns = list(dict.fromkeys(part.column for part in subgroups))
    lines: list[str | Subgroup] = []
    for column in columns:
        lines += [column, *(part for part in subgroups if part.column == column)]
    figure, axes = open_figure(_REST_IN + _LINE_IN * len(lines), "")
    if title:  # above the names too: they take half of the width
        figure.suptitle(title, fontsize=12, x=0.02, ha="left")
    lowest = min([whole.interval.low, 0.5] + [part.auc.interval.low for part in subgroups if part.auc])
    left = max(0.0, lowest - 0.03)
    for place, line in enumerate(lines):
        if isinstance(line, str):
            continue
        if line.auc is None:
            plain = {"facecolor": "white", "edgecolor": "none", "pad": 1.0, "alpha": 0.85}
            axes.text(left + 0.01, place, "too few patients", color=GREY, fontsize=8.5, va="center", bbox=plain)
            continue
        _draw(axes, place, line.auc)
    interval = whole.interval
    axes.axvspan(interval.low, interval.high, color=LIGHT, alpha=0.3, linewidth=0)
    axes.axvline(0.5, color=LIGHT, linewidth=1)
    axes.axvline(whole.value, color=GREY, linewidth=1, linestyle=DASHES)
    axes.set(xlim=(left, 1.01), ylim=(len(lines) - 0.4, -0.6))
    axes.set_yticks(range(len(lines)), [line if isinstance(line, str) else _name(line) for line in lines], fontsize=9)
    for text, line in zip(axes.get_yticklabels(), lines, strict=True):
        text.set_fontweight("bold" if isinstance(line, str) else "normal")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(f"AUC on test, {interval.level:.0%} intervals\ndashed: all, {whole.as_text()}", fontsize=9.5)
    return figure


def heads_figure(lines: Sequence[ForestLine], *, title: str = "") -> "Figure":
    """AUC of every head with its interval, from the top down in the order given, beside its paired difference.

    Raises DatasetError unless exactly one of the lines is the reference.
    """
    if [line.difference for line in lines].count(None) != 1:
        raise DatasetError("heads are drawn beside one reference; leave out the difference of just one line")
    figure, left, right = open_figure_pair(_REST_IN + 1.25 * _LINE_IN * len(lines))
    if title:
        figure.suptitle(title, fontsize=12, x=0.01, ha="left")
    for place, line in enumerate(lines):
        _draw(left, place, line.auc, color=BLUE if line.difference else ORANGE)
        if line.difference:
            _draw(right, place, line.difference)
        else:
            right.plot(0, place, "D", color=ORANGE, markersize=7)
            left.axvline(line.auc.value, color=GREY, linewidth=1, linestyle=DASHES, zorder=0)
    right.axvline(0, color=GREY, linewidth=1, linestyle=DASHES, zorder=0)
    left.axvline(0.5, color=LIGHT, linewidth=1, zorder=0)
    left.set(xlim=(max(0.0, min([0.5, *(line.auc.interval.low for line in lines)]) - 0.03), 1.01))
    left.set(ylim=(len(lines) - 0.4, -0.6))
    left.set_yticks(range(len(lines)), [line.name for line in lines], fontsize=9)
    for axes in (left, right):
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
    level = lines[0].auc.interval.level
    left.set_xlabel(f"AUC on test, {level:.0%} intervals\ndashed: the reference", fontsize=9.5)
    right.set_xlabel(f"AUC minus that of the reference,\npaired {level:.0%} intervals", fontsize=9.5)
    return figure


def _draw(axes: "Axes", place: float, estimate: Estimate, *, color: str = BLUE) -> None:
    axes.hlines(place, estimate.interval.low, estimate.interval.high, color=color, linewidth=1.8)
    axes.plot(estimate.value, place, "o", color=color, markersize=6)


def _name(part: Subgroup) -> str:
    value = part.value if len(part.value) <= _LONGEST else f"{part.value[: _LONGEST - 1]}…"
    return f"{value} ({part.counts.positives}/{part.counts.breasts})"
