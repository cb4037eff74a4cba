"""A forest plot: the AUC of each part of the test split beside that of the whole. Draws what was found, no more."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tilebank.errors import DatasetError
from tilebank.evaluation.scored import Estimate
from tilebank.evaluation.sheet import BLUE, DASHES, GREY, LIGHT, open_sheet
from tilebank.evaluation.subgroups import Subgroup

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LINE_IN, _REST_IN = 0.27, 1.15
_LONGEST = 22  # characters of a name that fit beside the axis


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
    figure, axes = open_sheet(_REST_IN + _LINE_IN * len(lines), "")
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
        axes.hlines(place, line.auc.interval.low, line.auc.interval.high, color=BLUE, linewidth=1.8)
        axes.plot(line.auc.value, place, "o", color=BLUE, markersize=6)
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


def _name(part: Subgroup) -> str:
    value = part.value if len(part.value) <= _LONGEST else f"{part.value[: _LONGEST - 1]}…"
    return f"{value} ({part.counts.positives}/{part.counts.breasts})"
