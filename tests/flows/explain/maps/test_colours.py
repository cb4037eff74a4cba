"""Colours of maps: comparable between heads, so that an undecided head's map is fainter than a sure one's."""

import numpy as np
import pytest

from tilebank.flows.explain.maps.colours import FAINTEST, FULL_SHARES, LEGENDS, colour_scale

BREAST = np.ones((1, 5), bool)
SHARES = np.array([[0.5, 1.0, 2.0, FULL_SHARES, 9.0]], np.float32)  # times the even share


def shaded(score: float, *, threshold: float | None = 0.5) -> np.ndarray:
    """The colours of places with these shares of attention, in a breast of this score."""
    return colour_scale("attention", (score,), threshold=threshold).shade(SHARES * np.float32(score), BREAST)[0]


def test_an_even_share_has_no_colour_and_a_sure_heads_highest_place_the_fullest() -> None:
    sure = shaded(0.99)
    np.testing.assert_allclose(sure, [0, 0, 1 / (FULL_SHARES - 1), 1, 1], atol=1e-6)


def test_the_same_attention_is_fainter_the_nearer_the_score_is_to_the_threshold() -> None:
    peaks = [shaded(score).max() for score in (0.02, 0.5, 0.6, 0.75, 0.9, 0.999)]
    assert peaks[0] == peaks[1] == pytest.approx(FAINTEST)
    assert peaks == sorted(peaks)
    assert peaks[-1] == 1
    assert shaded(0.6, threshold=0.1).max() == 1, "what counts is the head's own threshold"


def test_attention_that_is_spread_evenly_has_hardly_any_colour_however_sure_the_score() -> None:
    scale = colour_scale("attention", (0.99,), threshold=0.5)
    nearly_even = np.float32(0.99) * np.array([[0.95, 1.0, 1.02, 1.05, 1.1]], np.float32)
    assert scale.shade(nearly_even, BREAST).max() < 0.05


def test_evidence_and_contributions_have_colour_only_where_they_speak_for_the_finding() -> None:
    logits = np.array([[-3.0, 0.0, 2.0, 4.0, 8.0]], np.float32)
    for shown in ("contribution", "evidence"):
        colours = colour_scale(shown, (0.7,), threshold=0.5).shade(logits, BREAST)[0]
        np.testing.assert_allclose(colours, [0, 0, 0.5, 1, 1])
    higher = colour_scale("evidence", (0.7,), threshold=0.88).shade(logits, BREAST)[0]
    assert higher[2] < 0.05, "evidence counts from the threshold on"


def test_outside_the_breast_there_is_no_colour_and_several_answers_need_no_threshold() -> None:
    outside = np.zeros_like(BREAST)
    assert not colour_scale("attention", (0.9,), threshold=None).shade(SHARES, outside).any()
    assert colour_scale("attention", (0.25, 0.25, 0.25, 0.25), threshold=None).strength == pytest.approx(FAINTEST)
    assert colour_scale("attention", (0.97, 0.01, 0.01, 0.01), threshold=None).strength == 1


def test_a_score_of_nothing_divides_by_nothing() -> None:
    colours = colour_scale("attention", (0.0,), threshold=0.5).shade(np.zeros((1, 5), np.float32), BREAST)
    assert np.isfinite(colours).all()
    assert not colours.any()


def test_every_map_has_a_legend_with_the_rule() -> None:
    assert set(LEGENDS) == {"attention", "contribution", "evidence"}
    assert all("full" in text for text in LEGENDS.values())
