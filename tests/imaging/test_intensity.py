"""Windows against the standard's formulas, by hand and against pydicom."""

import numpy as np
import pydicom
import pytest
from pydicom.pixels import apply_windowing

from tilebank.imaging.intensity import WindowFunction, apply_window, scale_to_range

VALUES = np.arange(0, 4096, dtype=np.float64)


@pytest.mark.parametrize("function", list(WindowFunction))
def test_windows_equal_pydicoms(function: WindowFunction) -> None:
    dataset = pydicom.Dataset()
    dataset.WindowCenter, dataset.WindowWidth, dataset.VOILUTFunction = 1500.0, 900.0, function.value
    dataset.PhotometricInterpretation, dataset.BitsStored, dataset.PixelRepresentation = "MONOCHROME2", 12, 0
    theirs = apply_windowing(VALUES.astype(np.uint16), dataset) / 4095
    ours = apply_window(VALUES, center=1500, width=900, function=function)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_linear_window_of_width_one_is_a_step() -> None:
    # PS3.3 C.11.2.1.2.1: with width 1, x <= c - 0.5 is the minimum and x > c - 0.5 the maximum
    window = apply_window(np.array([9.0, 9.5, 10.0]), center=10, width=1, function=WindowFunction.LINEAR)
    assert window.tolist() == [0.0, 0.0, 1.0]


@pytest.mark.parametrize(("function", "width"), [("LINEAR", 0.5), ("LINEAR_EXACT", 0.0), ("SIGMOID", -1.0)])
def test_impossible_widths_are_refused(function: str, width: float) -> None:
    with pytest.raises(ValueError, match="width"):
        apply_window(VALUES, center=10, width=width, function=WindowFunction(function))


def test_a_range_without_extent_gives_black_not_nan() -> None:
    assert scale_to_range(VALUES[:3], low=5, high=5).tolist() == [0, 0, 0]
