"""Windows against the standard's formulas and against pydicom; tables from their descriptors; ranges."""

import numpy as np
import pydicom
import pytest
from pydicom.pixels import apply_windowing
from tests.imaging.stored_images import breast_of, stored_image

from tilebank.imaging.intensity import look_up_table
from tilebank.imaging.presentation import (
    WindowFunction,
    apply_window,
    present_range,
    present_raw,
    scale_to_range,
    why_unusable,
)

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
    assert "width" in why_unusable(stored_image(np.eye(2), windows=((10, width),), function=function).rules)


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ({}, ""),
        ({"windows": ()}, "no usable window"),
        ({"windows": ((float("nan"), 100.0),)}, "not finite"),
        ({"windows": ((100.0, float("inf")),)}, "not finite"),
        ({"windows": ((100.0, 1e-300),), "function": "SIGMOID"}, "absurd"),
        ({"slope": 1e300}, "Rescale"),
        ({"function": "LOG"}, "unknown"),
        ({"slope": 0.0}, "Rescale"),
        ({"intercept": float("inf")}, "Rescale"),
        ({"voi_lut": look_up_table([2, 0, 8], [0, 255], signed=False), "windows": ()}, ""),
        ({"windows": ((100.0, 50.0), (1.0, 0.0))}, ""),
    ],
)
def test_what_a_file_says_is_followed_or_refused_with_a_reason(rules: dict[str, object], says: str) -> None:
    why = why_unusable(stored_image(np.eye(2), **rules).rules)
    assert says in why
    assert bool(says) == bool(why)


def test_a_range_without_extent_gives_black_not_nan() -> None:
    assert scale_to_range(VALUES[:3], low=5, high=5).tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("descriptor", "data", "signed", "first", "values"),
    [
        ([3, 7, 12], np.array([1, 2, 4095], "<u2").tobytes(), False, 7, [1, 2, 4095]),
        ([3, 7, 12], [1, 2, 4095], False, 7, [1, 2, 4095]),
        ([2, 65534, 16], [0, 65535], True, -2, [0, 65535]),
        ([2, -2, 16], [0, 65535], True, -2, [0, 65535]),
        ([2, 65534, 16], [0, 65535], False, 65534, [0, 65535]),
        ([3, 0, 8], b"\x01\x02\xff\x00", False, 0, [1, 2, 255]),  # a byte an entry, padded to an even length
        ([4, 0, 8], [0x0201, 0x0403], False, 0, [1, 2, 3, 4]),  # the same in words
        ([2, 0, 8], np.array([1, 255], "<u2").tobytes(), False, 0, [1, 255]),
        ([2, 0, 10], np.array([1, 2, 9], "<u2").tobytes(), False, 0, [1, 2]),  # more data than entries
    ],
)
def test_tables_are_read_by_their_descriptor(
    descriptor: list[int], data: bytes | list[int], signed: bool, first: int, values: list[int]
) -> None:
    table = look_up_table(descriptor, data, signed=signed)
    assert (table.first, table.values.tolist(), table.bits) == (first, values, descriptor[2])


def test_no_entries_mean_65536() -> None:
    assert look_up_table([0, 0, 16], np.arange(65536, dtype="<u2").tobytes(), signed=False).values.size == 65536


@pytest.mark.parametrize(
    ("descriptor", "data"),
    [
        ([4, 0, 12], [0, 1, 2]),
        ([0, 0, 16], [0, 1, 2]),
        ([2, 0, 7], [0, 1]),
        ([2, 0, 17], [0, 1]),
        ([2, 0], [0, 1]),
        ([2, 0, 10], [0, 1024]),
        ([4, 0, 10], b"\0\1\2\3"),
    ],
)
def test_tables_that_do_not_fit_their_descriptor_are_refused(descriptor: list[int], data: bytes | list[int]) -> None:
    with pytest.raises(ValueError, match="LUT"):
        look_up_table(descriptor, data, signed=False)


@pytest.mark.parametrize("inverted", [False, True])
def test_the_range_in_the_breast_leaves_out_the_rim_and_hot_pixels_but_no_calcification(inverted: bool) -> None:
    stored = breast_of(1000, 3000, air=50, rows=1024, columns=768)
    inside = stored > 500
    stored[500:518, 100:118] = 3500  # 324 pixels
    inside[500:518, 100:118] = True
    inside[:2] = True  # 0.4 % of the mask is air
    stored[510, 300] = 4095
    image = stored_image(4095 - stored if inverted else stored, inverted=inverted)
    shown = present_range(image, inside, by="range")
    assert shown.pixels[510, 110] == 4095
    assert shown.pixels[stored == 1000].max() == 0
    np.testing.assert_allclose(shown.pixels[stored == 3000], 4095 * 2000 / 2500, atol=1)


def test_a_range_of_one_value_is_widened_to_all_measured_pixels() -> None:
    stored = np.array([[0, 0, 700, 700, 4000]])
    shown = present_range(stored_image(stored, padding=stored == 4000), stored == 700, by="range")
    assert shown.pixels.tolist() == [[0, 0, 4095, 4095, 0]]


@pytest.mark.parametrize(("slope", "intercept", "inverted"), [(1, 0, False), (2, -100, False), (1, 0, True)])
def test_raw_is_the_full_scale_of_the_stored_bits(slope: float, intercept: float, inverted: bool) -> None:
    stored = np.array([[0, 1, 2047, 4000]])
    shown = present_raw(stored_image(stored, slope=slope, intercept=intercept, inverted=inverted, windows=((100, 10),)))
    np.testing.assert_array_equal(shown.pixels, 4095 - stored if inverted else stored)
    signed = stored_image(stored - 2048, slope=slope, intercept=intercept, inverted=inverted, signed=True)
    np.testing.assert_array_equal(present_raw(signed).pixels, shown.pixels)


def test_raw_scales_a_modality_table_by_its_own_bits() -> None:
    table = look_up_table([3, 0, 8], [0, 128, 255], signed=False)
    shown = present_raw(stored_image(np.array([[0, 1, 2, 9]]), modality_lut=table))
    assert shown.pixels.tolist() == [[0, round(128 / 255 * 4095), 4095, 4095]]
