"""Measure whether a map drives the score: areas between its deletion and insertion curves and those of random tiles.

Shapes: B breasts, F shares of the tiles, from 0 to 1.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tilebank.errors import DatasetError
from tilebank.evaluation.intervals.bootstrap import interval_of
from tilebank.evaluation.intervals.resampling import sum_replicates
from tilebank.evaluation.plots.style import BLUE, DASHES, GREY, open_figure_pair
from tilebank.evaluation.scores import Estimate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class CurveSet:
    """Scores of some breasts (B, F) as the share of tiles that is away, or there, grows; and of whom they are."""

    deletion: Floats
    insertion: Floats
    deletion_at_random: Floats
    insertion_at_random: Floats
    patients: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Faithfulness:
    """What `measure_faithfulness` found of one group of breasts.

    deletion_gap: how much lower the score lies when tiles go by the map, than when they go by chance, the mean over all
    shares; insertion_gap: how much higher when they come. 0: the map does no better than chance; below: worse.
    shares and mean curves (F,): for the picture.
    """

    group: str
    breasts: int
    deletion_gap: Estimate
    insertion_gap: Estimate
    means: CurveSet

    def as_metrics(self) -> dict[str, float]:
        """`faithfulness_positive_deletion_gap`, ..."""
        name = f"faithfulness_{self.group}"
        return self.deletion_gap.as_metrics(f"{name}_deletion_gap") | self.insertion_gap.as_metrics(
            f"{name}_insertion_gap"
        )

    def as_text(self) -> str:
        """One line of text."""
        return (
            f"{self.group} ({self.breasts} breasts): deletion {self.deletion_gap.as_text()}, insertion"
            f" {self.insertion_gap.as_text()}"
        )


def gaps_of(curves: CurveSet) -> Floats:
    """Areas between the map's curves and those by chance, deletion and insertion, of each breast: (B, 2).

    Trapezoids over evenly spaced shares: in units of the score.
    """
    between = (curves.deletion_at_random - curves.deletion, curves.insertion - curves.insertion_at_random)
    steps = curves.deletion.shape[1] - 1
    return np.stack([np.trapezoid(each, dx=1 / steps, axis=1) for each in between], axis=1)


def measure_faithfulness(group: str, curves: CurveSet, *, replicates: int, seed: int, level: float) -> Faithfulness:
    """Mean gaps of a group with intervals by patient. Raises DatasetError for fewer than two patients."""
    gaps = gaps_of(curves)  # (B, 2)
    people = len(set(curves.patients))
    if people < 2:
        raise DatasetError(f"the {group} breasts belong to {people} patient; an interval needs two or more")
    sums = sum_replicates(np.c_[gaps, np.ones(len(gaps))], curves.patients, replicates=replicates, seed=seed)
    deletion, insertion = (
        Estimate(float(gaps[:, at].mean()), interval_of(sums[:, at] / sums[:, 2], patients=people, level=level))
        for at in (0, 1)
    )
    means = CurveSet(
        deletion=curves.deletion.mean(axis=0),
        insertion=curves.insertion.mean(axis=0),
        deletion_at_random=curves.deletion_at_random.mean(axis=0),
        insertion_at_random=curves.insertion_at_random.mean(axis=0),
        patients=(),
    )
    return Faithfulness(group, len(gaps), deletion, insertion, means)


def faithfulness_figure(found: Faithfulness, *, ordered_by: str, title: str = "") -> "Figure":
    """Mean scores as tiles go (left) and come (right), by the map and by chance."""
    figure, left, right = open_figure_pair(3.6)
    shares = np.linspace(0, 1, len(found.means.deletion))
    for axes, name, what in ((left, "deletion", "taken away"), (right, "insertion", "put in")):
        gap = getattr(found, f"{name}_gap")
        by_map, by_chance = getattr(found.means, name), getattr(found.means, f"{name}_at_random")
        axes.plot(shares, by_map, color=BLUE, linewidth=2, label=f"by {ordered_by}")
        axes.plot(shares, by_chance, color=GREY, linewidth=1.5, linestyle=DASHES, label="by chance")
        axes.fill_between(shares, by_map, by_chance, color=BLUE, alpha=0.12, linewidth=0)
        axes.set(xlabel=f"share of the tiles {what}\narea between: {gap.as_text()}", xlim=(0, 1))
    left.set_ylabel(f"mean score of {found.breasts} breasts")
    left.legend(loc="best", frameon=False, fontsize=9.5)
    if title:
        left.set_title(title, fontsize=12, loc="left")
    return figure
