"""Turn stored values into presentation values, by the contract in `intensity`.

A presentation value depends only on the stored value, so the chain is computed once for each stored value and applied
as a table look-up.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from tilebank.imaging.intensity import IntensityRules, LookUpTable, StoredImage

Values = NDArray[np.float64]

# Ends of the range that takes the place of a window, from dark to bright, as shares of the breast's pixels. The mask's
# rim holds some air and skin; a hot pixel must not squeeze the rest. 0.01 % of a breast is some 250 pixels of 0.07 mm,
# a calcification of a millimetre, so that calcifications keep their contrast.
RANGE_ENDS = (0.005, 0.9999)


class WindowFunction(StrEnum):
    """VOI LUT Function (0028,1056)."""

    LINEAR = "LINEAR"
    LINEAR_EXACT = "LINEAR_EXACT"
    SIGMOID = "SIGMOID"


@dataclass(frozen=True)
class Presentation:
    """Pixels (rows, columns) in 0..max_value, air dark, padding 0; windowed_by: the rule that made them."""

    pixels: NDArray[np.uint16]
    max_value: int
    windowed_by: str


def why_unusable(rules: IntensityRules) -> str:
    """Why the file's intensity rules cannot be followed, in words; empty where they can."""
    if modality := _why_no_modality(rules):
        return modality
    if rules.voi_lut is not None:
        return "" if _is_sound(rules.voi_lut) else "the VOI LUT is broken"
    if not rules.windows:
        return "the file states no usable window"
    center, width = rules.windows[0]
    if not (_is_sane(center) and _is_sane(width)):
        return "the window's numbers are not finite, or absurd"
    if rules.function not in WindowFunction.__members__:
        return "the VOI LUT Function is unknown"
    if width <= 0 or (rules.function == WindowFunction.LINEAR and width < 1):
        return f"{rules.function} allows no window of width {width:g}"
    return ""


def present_as_stated(image: StoredImage) -> Presentation:
    """The file's own VOI: `lut`, `linear`, `linear_exact` or `sigmoid`. Asks for rules that are usable."""
    rules = image.rules
    domain = _domain(image.stored)
    modality = _modality(domain, rules)
    if rules.voi_lut is not None:
        return _shown(image, domain, unit=_look_up(modality, rules.voi_lut) / _full(rules.voi_lut.bits), by="lut")
    center, width = rules.windows[0]
    function = WindowFunction(rules.function)
    unit = apply_window(modality, center=center, width=width, function=function)
    return _shown(image, domain, unit=unit, by=function.value.lower())


def present_range(image: StoredImage, inside: NDArray[np.bool_] | None, *, by: str) -> Presentation:
    """The range of modality values: of all measured pixels, or RANGE_ENDS of those `inside` (rows, columns) too.

    Where the pixels inside hold one value the range is that of all measured pixels.
    """
    domain = _domain(image.stored)
    modality = _modality(domain, image.rules)
    measured = image.stored if image.padding is None else image.stored[~image.padding]
    span = modality[int(measured.min()) - domain[0] : int(measured.max()) - domain[0] + 1]
    low, high = float(span.min()), float(span.max())
    if inside is not None:
        chosen = image.stored[inside if image.padding is None else inside & ~image.padding]
        shares = [1 - share for share in reversed(RANGE_ENDS)] if image.rules.inverted else RANGE_ENDS
        ends = np.quantile(modality[chosen - domain[0]], shares)
        low, high = (float(ends[0]), float(ends[1])) if ends[0] < ends[1] else (low, high)
    return _shown(image, domain, unit=scale_to_range(modality, low=low, high=high), by=by)


def present_raw(image: StoredImage) -> Presentation:
    """Modality values on the full scale of the bits stored, without VOI."""
    rules = image.rules
    domain = _domain(image.stored)
    if rules.modality_lut is not None and not _why_no_modality(rules):
        unit = _look_up(domain.astype(np.float64), rules.modality_lut) / _full(rules.modality_lut.bits)
    else:
        lowest = -(1 << rules.bits_stored - 1) if rules.signed else 0
        ends = _modality(np.array([lowest, lowest + _full(rules.bits_stored)]), rules)
        modality = _modality(domain, rules)
        unit = scale_to_range(modality, low=float(ends.min()), high=float(ends.max()))
    return _shown(image, domain, unit=unit, by="raw")


def apply_window(values: Values, *, center: float, width: float, function: WindowFunction) -> Values:
    """Map modality values into [0, 1] by a VOI window (PS3.3 C.11.2.1.2 and C.11.2.1.3).

    Raises ValueError where the standard allows no such width: below 1 for LINEAR, not above 0 for the others.
    """
    if function is WindowFunction.LINEAR:
        if width < 1:
            raise ValueError(f"window width {width} is below 1")
        if width == 1:
            return (values > center - 0.5).astype(np.float64)
        return np.clip((values - (center - 0.5)) / (width - 1) + 0.5, 0.0, 1.0)
    if width <= 0:
        raise ValueError(f"window width {width} is not above 0")
    if function is WindowFunction.LINEAR_EXACT:
        return np.clip((values - center) / width + 0.5, 0.0, 1.0)
    return np.asarray(1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - center) / width, -700, 700))))


def scale_to_range(values: Values, *, low: float, high: float) -> Values:
    """Map [low, high] into [0, 1], clipping outside; a range without extent gives 0."""
    if high <= low:
        return np.zeros_like(values)
    return np.clip((values - low) / (high - low), 0.0, 1.0)


def _domain(stored: NDArray[np.int32]) -> NDArray[np.int64]:
    """Every value from the least (0 where none is negative: then values index a table as they are) to the greatest."""
    return np.arange(min(0, int(stored.min())), int(stored.max()) + 1)


def _shown(image: StoredImage, domain: NDArray[np.int64], *, unit: Values, by: str) -> Presentation:
    """`unit`, the presentation of each value of the domain in [0, 1], applied to the image."""
    rules, start = image.rules, int(domain[0])
    table = np.rint((1.0 - unit if rules.inverted else unit) * _full(rules.bits_stored)).astype(np.uint16)
    pixels = np.take(table, image.stored - start if start else image.stored)
    if image.padding is not None:
        pixels[image.padding] = 0
    return Presentation(pixels, _full(rules.bits_stored), by)


def _modality(domain: NDArray[np.int64], rules: IntensityRules) -> Values:
    """Modality values; the stored ones where the file's rule for them is unusable."""
    values = domain.astype(np.float64)
    if _why_no_modality(rules):
        return values
    return (
        values * rules.slope + rules.intercept if rules.modality_lut is None else _look_up(values, rules.modality_lut)
    )


def _why_no_modality(rules: IntensityRules) -> str:
    if rules.modality_lut is not None:
        return "" if _is_sound(rules.modality_lut) else "the Modality LUT is broken"
    if not (_is_sane(rules.slope) and _is_sane(rules.intercept)) or rules.slope == 0:
        return "Rescale Slope and Intercept are unusable"
    return ""


def _is_sane(number: float) -> bool:
    """Whether products and quotients of it with stored values stay within float64."""
    return number == 0 or (math.isfinite(number) and 1e-30 < abs(number) < 1e30)


def _look_up(values: Values, table: LookUpTable) -> Values:
    """PS3.3 C.11.2.1.1: what lies below the first entry takes its value, what lies above the last the last's."""
    places = np.clip(np.rint(values) - table.first, 0, table.values.size - 1).astype(np.int64)
    return np.asarray(table.values[places], dtype=np.float64)


def _is_sound(table: LookUpTable) -> bool:
    return (
        table.values.size > 0
        and 1 <= table.bits <= 16
        and 0 <= table.values.min() <= table.values.max() <= _full(table.bits)
    )


def _full(bits: int) -> int:
    return (1 << bits) - 1
