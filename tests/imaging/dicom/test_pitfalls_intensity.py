"""The intensity pitfalls of real mammography files, one row each: a file goes in, presentation pixels come out.

What is expected is computed here, value by value in float64, by the standard's own formulas (PS3.3 C.7.6.3, C.11.1,
C.11.2; PS3.4 N.2), not by the code under test.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from tests.conftest import make_dicom
from tests.imaging.stored_images import breast_of

from tilebank.imaging.breast import MaskConfig
from tilebank.imaging.intensity import ReaderConfig
from tilebank.imaging.reader import Mammogram, read_mammogram

Rule = Callable[[float], float]  # stored value -> presentation value in 0..1, bright high

PLAIN = breast_of(500, 3500, air=20)  # 12 bits
SIGNED = PLAIN.astype(np.int16) - 2048


@dataclass(frozen=True)
class Pitfall:
    """One file: stored values, tags, and what must come of it. `padding`: stored values that are no measurement."""

    name: str
    rule: Rule
    by: str
    stored: NDArray[np.integer] = field(default_factory=lambda: PLAIN)
    tags: dict[str, object] = field(default_factory=dict)
    bits: int = 12
    padding: tuple[int, ...] = ()
    warns: str = ""


def linear(center: float, width: float) -> Rule:
    """C.11.2.1.2.1, for the output range 0 to 1."""

    def rule(x: float) -> float:
        if x <= center - 0.5 - (width - 1) / 2:
            return 0.0
        if x > center - 0.5 + (width - 1) / 2:
            return 1.0
        return (x - (center - 0.5)) / (width - 1) + 0.5

    return rule


def linear_exact(center: float, width: float) -> Rule:
    """C.11.2.1.3.2."""

    def rule(x: float) -> float:
        if x <= center - width / 2:
            return 0.0
        if x > center + width / 2:
            return 1.0
        return (x - center) / width + 0.5

    return rule


def sigmoid(center: float, width: float) -> Rule:
    """C.11.2.1.3.1."""

    def rule(x: float) -> float:
        exponent = -4 * (x - center) / width
        return 0.0 if exponent > 700 else 1 / (1 + math.exp(exponent))

    return rule


def table(first: int, values: Sequence[int], bits: int) -> Rule:
    """C.11.2.1.1: below the first entry its value, above the last the last's."""

    def rule(x: float) -> float:
        if x < first:
            return values[0] / (2**bits - 1)
        if x > first + len(values) - 1:
            return values[-1] / (2**bits - 1)
        return values[int(x) - first] / (2**bits - 1)

    return rule


def rescaled(slope: float, intercept: float, then: Rule) -> Rule:
    """C.7.6.16.2.9: output = m * SV + b."""
    return lambda x: then(slope * x + intercept)


def between(low: float, high: float) -> Rule:
    """The fall-back: the range of values in the breast."""
    return lambda x: min(max((x - low) / (high - low), 0.0), 1.0)


def window(center: object, width: object, function: str | None = None) -> dict[str, object]:
    """The tags of a window."""
    return {"WindowCenter": center, "WindowWidth": width, "VOILUTFunction": function}


def lut(first: int, values: Sequence[int], bits: int, *, entries: int | None = None, packed: bool = False) -> Dataset:
    """One item of a LUT sequence; `entries` of the descriptor where it shall not fit the data."""
    item = Dataset()
    count = len(values) if entries is None else entries
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [count % 65536, first, bits])
    item.add_new("LUTData", "OW", np.asarray(values, dtype="u1" if packed else "<u2").tobytes())
    return item


def with_luts(*items: Dataset) -> dict[str, object]:
    """The tag of VOI LUTs."""
    return {"VOILUTSequence": Items(list(items))}


def of_bits(bits: int) -> NDArray[np.uint16]:
    """A breast on the full scale of `bits`."""
    top = 2**bits - 1
    return breast_of(round(0.1 * top), round(0.9 * top), air=0)


def with_corner(value: int, *, other: int | None = None) -> NDArray[np.uint16]:
    """PLAIN with a corner away from the breast, and a spot in it, at `value`; half the corner at `other`."""
    stored = PLAIN.copy()
    stored[:40, -60:] = value
    stored[120:124, 20:24] = value
    if other is not None:
        stored[:40, -30:] = other
    return stored


M1: dict[str, object] = {"PhotometricInterpretation": "MONOCHROME1"}
CURVE = [round(4095 * (place / 1400) ** 2) for place in range(1401)]
FALLING = [4095 - value for value in CURVE]
BREAST_RANGE = between(500, 3500)  # PLAIN holds a twentieth of the breast at each end

ROWS = [
    Pitfall("linear", linear(1800, 3000), "linear", tags=window("1800", "3000", "LINEAR")),
    Pitfall("function left out means linear", linear(1800, 3000), "linear", tags=window("1800", "3000")),
    Pitfall("linear exact", linear_exact(1800, 3000), "linear_exact", tags=window("1800", "3000", "LINEAR_EXACT")),
    Pitfall("sigmoid", sigmoid(1800, 1500), "sigmoid", tags=window("1800", "1500", "SIGMOID")),
    Pitfall("linear, inverted", linear(2200, 3000), "linear", 4095 - PLAIN, window("2200", "3000") | M1),
    Pitfall(
        "exact, inverted",
        linear_exact(2200, 3000),
        "linear_exact",
        4095 - PLAIN,
        window("2200", "3000", "LINEAR_EXACT") | M1,
    ),
    Pitfall("sigmoid, inverted", sigmoid(2200, 900), "sigmoid", 4095 - PLAIN, window("2200", "900", "SIGMOID") | M1),
    Pitfall("the first of three windows", linear(2262, 380), "linear", tags=window(["2262", "2286", "9"], ["380"] * 3)),
    Pitfall("window in float text", linear(1800.25, 2999.5), "linear", tags=window("1800.25", "2.9995e3")),
    Pitfall("window of width 1", linear(1800, 1), "linear", tags=window("1800", "1")),
    Pitfall("exact below 1", linear_exact(1800, 0.5), "linear_exact", tags=window("1800", "0.5", "LINEAR_EXACT")),
    Pitfall("sigmoid below 1", sigmoid(1800.5, 0.7), "sigmoid", tags=window("1800.5", "0.7", "SIGMOID")),
    Pitfall("width 0", BREAST_RANGE, "range", tags=window("1800", "0"), warns="width 0"),
    Pitfall("negative width", BREAST_RANGE, "range", tags=window("1800", "-5", "SIGMOID"), warns="width -5"),
    Pitfall("linear below 1", BREAST_RANGE, "range", tags=window("1800", "0.5"), warns="width 0.5"),
    Pitfall("unequal counts", BREAST_RANGE, "range", tags=window(["1800", "1900"], "3000"), warns="window"),
    Pitfall("center without width", BREAST_RANGE, "range", tags=window("1800", None), warns="window"),
    Pitfall("no window", BREAST_RANGE, "range", warns="no usable window"),
    Pitfall("no window, inverted", between(595, 3595), "range", 4095 - PLAIN, M1, warns="no usable window"),
    Pitfall("unknown function", BREAST_RANGE, "range", tags=window("1800", "3000", "LOGARITHM"), warns="unknown"),
    Pitfall("window far above the data", BREAST_RANGE, "range", tags=window("30000", "400"), warns="one value"),
    Pitfall("window far below the data", BREAST_RANGE, "range", tags=window("-9000", "400"), warns="one value"),
    Pitfall("window between air and breast", BREAST_RANGE, "range", tags=window("200", "300"), warns="one value"),
    Pitfall("table with an offset start", table(1405, CURVE, 12), "lut", tags=with_luts(lut(1405, CURVE, 12))),
    Pitfall(
        "the first of three tables, before any window",
        table(900, CURVE, 12),
        "lut",
        tags=with_luts(lut(900, CURVE, 12), lut(1405, FALLING, 12), lut(9, CURVE, 12)) | window("1800", "3000"),
    ),
    Pitfall("table, inverted", table(900, CURVE, 12), "lut", 4095 - PLAIN, with_luts(lut(900, CURVE, 12)) | M1),
    Pitfall(
        "table of 16 bits out",
        table(0, range(0, 65536, 16), 16),
        "lut",
        tags=with_luts(lut(0, range(0, 65536, 16), 16)),
    ),
    Pitfall(
        "table of 8 bits, a byte an entry",
        table(0, [place // 16 for place in range(4096)], 8),
        "lut",
        tags=with_luts(lut(0, [place // 16 for place in range(4096)], 8, packed=True)),
    ),
    Pitfall("table with a signed start", table(-1500, CURVE, 12), "lut", SIGNED, with_luts(lut(-1500, CURVE, 12))),
    Pitfall("table too short", BREAST_RANGE, "range", tags=with_luts(lut(9, CURVE, 12, entries=4000)), warns="LUT"),
    Pitfall(
        "table of 65536 entries, too short",
        BREAST_RANGE,
        "range",
        tags=with_luts(lut(9, CURVE, 12, entries=0)),
        warns="LUT",
    ),
    Pitfall("table of too few bits", BREAST_RANGE, "range", tags=with_luts(lut(9, CURVE, 10)), warns="LUT"),
    Pitfall("signed values", linear(-200, 3000), "linear", SIGNED, window("-200", "3000")),
    Pitfall("signed values without a window", between(-1548, 1452), "range", SIGNED, warns="no usable window"),
    Pitfall(
        "slope and intercept before the window",
        rescaled(2, -100, linear(3500, 6000)),
        "linear",
        tags=window("3500", "6000") | {"RescaleSlope": "2", "RescaleIntercept": "-100"},
    ),
    Pitfall(
        "a fractional slope",
        rescaled(0.125, 3.5, sigmoid(230, 200)),
        "sigmoid",
        tags=window("230", "200", "SIGMOID") | {"RescaleSlope": "0.125", "RescaleIntercept": "3.5"},
    ),
    Pitfall(
        "slope 0",
        BREAST_RANGE,
        "range",
        tags=window("1800", "3000") | {"RescaleSlope": "0", "RescaleIntercept": "0"},
        warns="Rescale",
    ),
    Pitfall(
        "a modality table before the window",
        lambda x: linear(40000, 50000)(float(min(int(x), 4095) * 16)),
        "linear",
        tags=window("40000", "50000") | {"ModalityLUTSequence": Items([lut(0, range(0, 65536, 16), 16)])},
    ),
    *(
        Pitfall(
            f"{bits} bits",
            linear(2**bits * 0.4, 2**bits * 0.7),
            "linear",
            of_bits(bits),
            window(str(2**bits * 0.4), str(2**bits * 0.7)) | {"BitsStored": bits, "HighBit": bits - 1},
            bits=bits,
        )
        for bits in (8, 10, 11, 12, 14, 16)
    ),
    Pitfall(
        "a padding value is black and no breast",
        linear(1800, 3000),
        "linear",
        with_corner(4095),
        window("1800", "3000") | {"PixelPaddingValue": 4095},
        padding=(4095,),
    ),
    Pitfall(
        "padding up to a range limit",
        linear(1800, 3000),
        "linear",
        with_corner(4090, other=4095),
        window("1800", "3000") | {"PixelPaddingValue": 4095, "PixelPaddingRangeLimit": 4090},
        padding=(4090, 4095),
    ),
    Pitfall(
        "padding takes no part in the range",
        BREAST_RANGE,
        "range",
        with_corner(4095),
        {"PixelPaddingValue": 4095},
        padding=(4095,),
        warns="no usable window",
    ),
    Pitfall(
        "bits above those stored are dirty",
        linear(1800, 3000),
        "linear",
        (PLAIN | np.where(np.arange(PLAIN.size).reshape(PLAIN.shape) % 3, 0x5000, 0)).astype(np.uint16),
        window("1800", "3000"),
        warns="bits",
    ),
]


def read(row: Pitfall) -> Mammogram:
    content = make_dicom(row.stored, **{"BitsStored": 12, "HighBit": 11} | row.tags)
    return read_mammogram(content, reader=ReaderConfig(), mask=MaskConfig())


def expected(row: Pitfall) -> NDArray[np.float64]:
    """Presentation values before they are rounded: the rule, the polarity, the scale of the bits stored, padding 0."""
    clean = row.stored & 0x0FFF if row.name.startswith("bits above") else row.stored
    values, places = np.unique(clean, return_inverse=True)
    unit = np.array([row.rule(float(value)) for value in values], dtype=np.float64)
    if row.tags.get("PhotometricInterpretation") == "MONOCHROME1":
        unit = 1.0 - unit
    unit[np.isin(values, row.padding)] = 0.0
    return np.asarray(unit[places].reshape(row.stored.shape) * (2**row.bits - 1))


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_pixels_are_those_of_the_standard(row: Pitfall) -> None:
    mammogram = read(row)
    assert (mammogram.windowed_by, mammogram.max_value) == (row.by, 2**row.bits - 1)
    # half a step for rounding; a window that steps may fall on either side of a tie
    np.testing.assert_allclose(mammogram.pixels, expected(row), atol=0.5 + 1e-6)
    if row.warns:
        assert any(row.warns in text for text in mammogram.warnings), mammogram.warnings
    else:
        assert mammogram.warnings == ()


@pytest.mark.parametrize("row", [row for row in ROWS if row.padding], ids=lambda row: row.name)
def test_padding_is_never_breast(row: Pitfall) -> None:
    mammogram = read(row)
    padding = np.isin(row.stored, row.padding)
    assert padding.any()
    assert not mammogram.breast[padding].any()
    assert mammogram.pixels[padding].max() == 0


@pytest.mark.parametrize("row", [row for row in ROWS if row.by == "range"], ids=lambda row: row.name)
def test_the_fall_back_finds_the_whole_breast(row: Pitfall) -> None:
    truth = (PLAIN > 20) & ~np.isin(row.stored, row.padding)
    breast = read(row).breast
    assert np.count_nonzero(breast != truth) < 0.03 * np.count_nonzero(truth)
