"""Areas between curves of deletion and insertion, with intervals by patient; drawn as they are."""

from dataclasses import replace

import numpy as np
import pytest

from tilebank.errors import DatasetError
from tilebank.evaluation.faithfulness import CurveSet, faithfulness_figure, gaps_of, measure_faithfulness


def curves(breasts: int, *, gain: float) -> CurveSet:
    """Chance is a straight line between 1 and 0; the map's curve departs from it by a triangle of height `gain`."""
    chance = np.tile(np.linspace(1, 0, 11), (breasts, 1))
    bump = gain * (1 - np.abs(np.linspace(-1, 1, 11)))
    patients = tuple(f"P{place // 2}" for place in range(breasts))
    return CurveSet(chance - bump, chance[:, ::-1] + bump, chance, chance[:, ::-1], patients)


def test_the_gap_is_the_area_between_the_curves() -> None:
    found = measure_faithfulness("positive", curves(8, gain=0.2), replicates=100, seed=0, level=0.95)
    assert found.deletion_gap.value == pytest.approx(0.1)  # a triangle of base 1 and height 0.2
    assert found.insertion_gap.value == pytest.approx(0.1)
    assert found.as_metrics()["faithfulness_positive_deletion_gap_low"] == pytest.approx(0.1)
    assert found.breasts == 8


def test_a_map_no_better_than_chance_has_no_gap_and_a_worse_one_a_negative() -> None:
    assert gaps_of(curves(3, gain=0.0)) == pytest.approx(np.zeros((3, 2)))
    assert (gaps_of(curves(3, gain=-0.1)) < 0).all()


def test_the_interval_resamples_patients_and_needs_two() -> None:
    alike = np.random.default_rng(0).normal(0, 0.1, size=(20, 1)).repeat(2, axis=0)  # both breasts of a patient
    chance = curves(40, gain=0.0)
    shifted = replace(chance, deletion=chance.deletion - alike)
    found = measure_faithfulness("all", shifted, replicates=2000, seed=0, level=0.95).deletion_gap
    error = alike[::2].std(ddof=1) / np.sqrt(20)
    assert (found.interval.high - found.interval.low) / 2 == pytest.approx(2.09 * error, rel=0.15)
    with pytest.raises(DatasetError, match="an interval needs two or more"):
        measure_faithfulness("all", curves(2, gain=0.1), replicates=10, seed=0, level=0.95)


def test_the_figure_shows_both_curves_and_says_the_area() -> None:
    found = measure_faithfulness("positive", curves(8, gain=0.2), replicates=50, seed=0, level=0.95)
    figure = faithfulness_figure(found, ordered_by="attention", title="positive breasts")
    left, right = figure.axes
    assert [line.get_label() for line in left.get_lines()] == ["by attention", "by chance"]
    np.testing.assert_allclose(left.get_lines()[0].get_ydata(), found.means.deletion)
    assert "0.100" in right.get_xlabel()
