"""Choose the colour scale of a breast's maps, so that colours can be compared between breasts and heads.

Attention is shared out within a breast: stretched to its own range, the map of a head that looks everywhere, or that
cannot decide, would be as hot as that of a sure one. So an even share has no colour, a fixed multiple of it has full
colour, and the whole map fades as the score comes down to the threshold. Boxes and figures do not depend on it.
"""

import math
from collections.abc import Sequence

from tilebank.imaging.maps.layers import ColourScale

FULL_SHARES = 4.0  # times the even share of attention that have full colour
FULL_LOGITS = 4.0  # of a contribution, or of evidence above the threshold
SURE_LOGITS = 2.0  # above the threshold, where a map of attention no longer fades
FAINTEST = 0.3  # of full colour: at or below the threshold it can still be seen where the head looked

LEGENDS = {
    "attention": f"attention: no colour at an even share, full at {FULL_SHARES:g} times that or more; the map fades to"
    f" {FAINTEST:.0%} as the score falls to the threshold",
    "contribution": f"contribution to the logit: no colour at 0 or below, full at +{FULL_LOGITS:g} or more",
    "evidence": f"logit of a tile on its own: no colour at the threshold or below, full {FULL_LOGITS:g} above it",
}


def colour_scale(shown: str, scores: Sequence[float], *, threshold: float | None) -> ColourScale:
    """The scale of one breast's maps. shown: a key of LEGENDS; scores: of the breast, one an answer.

    threshold: of a single score; without one it is 0.5, and of several answers an even share of them.
    """
    border = _logit((0.5 if threshold is None else threshold) if len(scores) == 1 else 1 / len(scores))
    if shown == "contribution":
        return ColourScale(0.0, FULL_LOGITS)
    if shown == "evidence":
        return ColourScale(border, border + FULL_LOGITS)
    score = max(scores)  # heights are the score times how many times the even share, see rows.py
    sure = min(1.0, max(0.0, (_logit(score) - border) / SURE_LOGITS))
    return ColourScale(score, score * FULL_SHARES, strength=FAINTEST + (1 - FAINTEST) * sure)


def _logit(probability: float) -> float:
    inside = min(max(probability, 1e-6), 1 - 1e-6)
    return math.log(inside / (1 - inside))
