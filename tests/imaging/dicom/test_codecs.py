"""Compressed frames, their own headers, and how they are packed: pixel for pixel, or refused."""

import struct

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.encaps import encapsulate, encapsulate_extended
from tests.conftest import ENCODERS, encode_frame

from tilebank.errors import ImageError
from tilebank.imaging.dicom.codecs import DECODERS, RLE, FrameLayout, decode_frame, stored_values
from tilebank.imaging.dicom.codestreams import Codestream, describe_codestream, join_fragments

PREFIX = "1.2.840.10008.1.2."
LOSSLESS = ["4.57", "4.70", "4.80", "4.90", "4.201", "4.202", "5"]
J2K, HTJ2K, JPEG_LS, JPEG_LOSSLESS = PREFIX + "4.90", PREFIX + "4.201", PREFIX + "4.80", PREFIX + "4.70"


def layout_of(shape: tuple[int, int], bits: int, *, signed: bool = False) -> FrameLayout:
    return FrameLayout(*shape, 8 if bits <= 8 else 16, bits, bits - 1, signed)


def noise(bits: int, *, rows: int = 63, columns: int = 49) -> NDArray[np.uint16]:
    return np.random.default_rng(bits).integers(0, 1 << bits, (rows, columns)).astype(np.uint16)


def ramp(bits: int) -> NDArray[np.uint16]:
    y, x = np.mgrid[:63, :49]
    return ((x + y) * ((1 << bits) - 1) // 110).astype(np.uint16)


def read(frame: bytes, layout: FrameLayout, syntax: str) -> NDArray[np.int32]:
    samples, bits = decode_frame(frame, layout, syntax=syntax)
    return stored_values(samples, layout, bits=bits)[0]


def refusal(frame: bytes, layout: FrameLayout, syntax: str) -> str:
    with pytest.raises(ImageError) as caught:
        decode_frame(frame, layout, syntax=syntax)
    assert caught.value.stage == "decode"
    return caught.value.error_class


def test_every_supported_syntax_is_tested() -> None:
    assert {PREFIX + tail for tail in ENCODERS} == {*DECODERS, RLE}


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("tail", LOSSLESS)
def test_lossless_syntaxes_give_every_value_back(tail: str, bits: int, signed: bool) -> None:
    stored = noise(bits).astype(np.int32) - ((1 << (bits - 1)) if signed else 0)
    frame = encode_frame(stored, syntax=PREFIX + tail, bits=bits)
    np.testing.assert_array_equal(read(frame, layout_of(stored.shape, bits, signed=signed), PREFIX + tail), stored)


@pytest.mark.parametrize(
    ("tail", "bits", "bound"), [("4.50", 8, 4), ("4.51", 8, 4), ("4.51", 12, 8), ("4.81", 12, 2), ("4.91", 12, 40)]
)
def test_lossy_syntaxes_stay_close(tail: str, bits: int, bound: int) -> None:
    frame = encode_frame(ramp(bits), syntax=PREFIX + tail, bits=bits)
    difference = np.abs(read(frame, layout_of((63, 49), bits), PREFIX + tail) - ramp(bits).astype(np.int32))
    assert difference.max() <= bound


def test_lossy_high_throughput_stays_close() -> None:
    frame = encode_frame(ramp(16), syntax=PREFIX + "4.203", bits=16)
    difference = np.abs(read(frame, layout_of((63, 49), 16), PREFIX + "4.203") - ramp(16).astype(np.int32))
    assert 0 < difference.max() <= 60


def test_a_jpeg2000_codestream_of_signed_samples_is_read() -> None:
    stored = noise(12).astype(np.int16) - 2048
    frame = imagecodecs.jpeg2k_encode(stored, codecformat="j2k", reversible=True)
    assert describe_codestream(frame).signed
    np.testing.assert_array_equal(read(frame, layout_of(stored.shape, 16, signed=True), J2K), stored)


def test_a_jp2_file_in_the_place_of_a_codestream_is_read() -> None:
    frame = imagecodecs.jpeg2k_encode(noise(12), codecformat="jp2", reversible=True, bitspersample=12)
    assert frame[4:8] == b"jP  "
    np.testing.assert_array_equal(read(frame, layout_of((63, 49), 12), J2K), noise(12))


@pytest.mark.parametrize(
    ("tail", "bits", "told"),
    [
        ("4.50", 8, Codestream("baseline", 63, 49, 1, 8, signed=False)),
        ("4.51", 12, Codestream("extended", 63, 49, 1, 12, signed=False)),
        ("4.70", 12, Codestream("lossless", 63, 49, 1, 12, signed=False)),
        ("4.80", 12, Codestream("jpeg_ls", 63, 49, 1, 16, signed=False)),
        ("4.90", 12, Codestream("jpeg2000", 63, 49, 1, 12, signed=False)),
        ("4.201", 12, Codestream("high_throughput", 63, 49, 1, 16, signed=False)),
    ],
)
def test_a_codestream_says_what_it_is(tail: str, bits: int, told: Codestream) -> None:
    assert describe_codestream(encode_frame(noise(bits), syntax=PREFIX + tail, bits=bits)) == told


@pytest.mark.parametrize("tail", LOSSLESS)
@pytest.mark.parametrize("kept", [0.02, 0.3, 0.9, 0.995])
def test_a_frame_that_is_cut_off_is_refused(tail: str, kept: float) -> None:
    frame = encode_frame(noise(12), syntax=PREFIX + tail, bits=12)
    known = ("PixelDataCutOff", "PixelDataDamaged")
    assert refusal(frame[: int(kept * len(frame))], layout_of((63, 49), 12), PREFIX + tail) in known


@pytest.mark.parametrize("tail", LOSSLESS)
def test_a_frame_without_its_middle_is_refused_though_it_has_its_end(tail: str) -> None:
    frame = encode_frame(noise(12), syntax=PREFIX + tail, bits=12)
    half = len(frame) // 2
    assert refusal(frame[:half] + frame[-2:], layout_of((63, 49), 12), PREFIX + tail) in (
        "PixelDataCutOff",
        "PixelDataDamaged",
    )


def test_padding_after_the_end_marker_is_no_harm() -> None:
    for syntax in (J2K, JPEG_LS, JPEG_LOSSLESS):
        frame = encode_frame(noise(12), syntax=syntax, bits=12) + b"\0\0\0"
        np.testing.assert_array_equal(read(frame, layout_of((63, 49), 12), syntax), noise(12))


@pytest.mark.parametrize("syntax", [J2K, HTJ2K, JPEG_LS, JPEG_LOSSLESS])
def test_a_codestream_of_another_size_is_refused_before_it_is_decoded(syntax: str) -> None:
    frame = encode_frame(noise(12), syntax=syntax, bits=12)
    assert refusal(frame, layout_of((49, 63), 12), syntax) == "SizeMismatch"


def test_a_codestream_that_claims_a_huge_size_is_never_decoded() -> None:
    frame = bytearray(encode_frame(noise(12), syntax=J2K, bits=12))
    frame[8:16] = struct.pack(">II", 60_000, 60_000)  # Xsiz, Ysiz
    assert describe_codestream(bytes(frame)).rows == 60_000
    assert refusal(bytes(frame), layout_of((63, 49), 12), J2K) == "SizeMismatch"


@pytest.mark.parametrize(("syntax", "bits"), [(J2K, 8), (JPEG_LOSSLESS, 10)])
def test_a_codestream_of_fewer_bits_than_the_header_says_is_refused(syntax: str, bits: int) -> None:
    frame = encode_frame(noise(bits), syntax=syntax, bits=bits)
    assert refusal(frame, layout_of((63, 49), 12), syntax) == "DepthMismatch"


def test_a_codestream_of_more_bits_than_are_allocated_is_refused() -> None:
    frame = encode_frame(noise(12), syntax=J2K, bits=12)
    assert refusal(frame, layout_of((63, 49), 8), J2K) == "DepthMismatch"


def test_a_colour_codestream_is_refused() -> None:
    frame = imagecodecs.jpeg2k_encode(np.zeros((63, 49, 3), np.uint8), codecformat="j2k")
    assert refusal(frame, layout_of((63, 49), 8), J2K) == "NotOneGrayFrame"


@pytest.mark.parametrize(("syntax", "other"), [(J2K, JPEG_LOSSLESS), (JPEG_LOSSLESS, JPEG_LS)])
def test_a_codestream_of_another_coding_is_refused(syntax: str, other: str) -> None:
    frame = encode_frame(noise(12), syntax=other, bits=12)
    assert refusal(frame, layout_of((63, 49), 12), syntax) == "SyntaxMismatch"


@pytest.mark.parametrize("content", [b"", b"\xff\xd8", b"\xff\xd8\xff\xd9", b"\xff\x4f\xff\x51", b"jpeg" * 99])
def test_what_is_no_codestream_is_refused(content: bytes) -> None:
    assert refusal(content, layout_of((63, 49), 12), J2K) in ("PixelDataDamaged", "PixelDataCutOff")


def test_an_rle_frame_with_too_few_planes_is_refused() -> None:
    frame = encode_frame(noise(8), syntax=RLE, bits=8)
    assert refusal(frame, layout_of((63, 49), 12), RLE) == "PixelDataDamaged"


@pytest.mark.parametrize("fragments", [1, 2, 5])
@pytest.mark.parametrize("has_table", [False, True])
def test_fragments_of_one_frame_are_joined(fragments: int, has_table: bool) -> None:
    frame = encode_frame(noise(12), syntax=J2K, bits=12)
    value = encapsulate([frame], fragments_per_frame=fragments, has_bot=has_table)
    joined = join_fragments(memoryview(value + b"\xfe\xff\xdd\xe0\0\0\0\0and what follows"))
    assert joined.rstrip(b"\0") == frame.rstrip(b"\0")


def test_the_extended_offset_table_gives_the_exact_length() -> None:
    frame = b"\xff\xd8odd"
    value, offsets, _ = encapsulate_extended([frame])
    whole = memoryview(value + b"\xfe\xff\xdd\xe0\0\0\0\0")
    assert join_fragments(whole, offsets=offsets, lengths=struct.pack("<Q", 5)) == frame
    assert join_fragments(whole) == frame + b"\0"
    with pytest.raises(ImageError, match="of the 99 bytes"):
        join_fragments(whole, offsets=offsets, lengths=struct.pack("<Q", 99))


@pytest.mark.parametrize(
    ("value", "error_class"),
    [
        (encapsulate([b"one.", b"two."]) + b"\xfe\xff\xdd\xe0\0\0\0\0", "NotOneGrayFrame"),
        (encapsulate([b"frame..."]), "PixelDataCutOff"),
        (encapsulate([b"frame..."])[:-3], "PixelDataCutOff"),
        (b"\xfe\xff\x00\xe0\0\0\0\0" * 2 + b"\xfe\xff\xdd\xe0\0\0\0\0", "NoPixelData"),
        (b"\xfe\xff\x00\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0", "NoPixelData"),
        (b"\xfe\xff\xdd\xe0\0\0\0\0", "PixelDataDamaged"),
        (b"\xfe\xff\x00\xe0\0\0\0\0raw pixels, not items", "PixelDataDamaged"),
        (b"\xfe\xff\x00\xe0\xff\xff\xff\xff" + b"\0" * 16, "PixelDataDamaged"),
        (b"\xfe\xff\x00\xe0\4\0\0\0\7\0\0\0\xfe\xff\x00\xe0\2\0\0\0ab\xfe\xff\xdd\xe0\0\0\0\0", "PixelDataDamaged"),
        (b"", "PixelDataCutOff"),
    ],
)
def test_an_encapsulation_that_is_not_one_whole_frame_is_refused(value: bytes, error_class: str) -> None:
    with pytest.raises(ImageError) as caught:
        join_fragments(memoryview(value))
    assert (caught.value.stage, caught.value.error_class) == ("decode", error_class)


@pytest.mark.parametrize(
    ("samples", "layout", "stored", "dirty"),
    [
        ([0x0FFF, 0x0001], FrameLayout(1, 2, 16, 12, 11, False), [4095, 1], False),
        ([0xFFFF, 0xA001], FrameLayout(1, 2, 16, 12, 11, False), [4095, 1], True),
        ([0xFFF0, 0x0010], FrameLayout(1, 2, 16, 12, 15, False), [4095, 1], False),
        ([0xFFFA, 0x0010], FrameLayout(1, 2, 16, 12, 15, False), [4095, 1], True),
        ([0x0FFF, 0x0800], FrameLayout(1, 2, 16, 12, 11, True), [-1, -2048], False),
        ([0xFFFF, 0xF800], FrameLayout(1, 2, 16, 12, 11, True), [-1, -2048], False),
        ([0x7FFF, 0x0001], FrameLayout(1, 2, 16, 12, 11, True), [-1, 1], True),
        ([0xFFF0, 0x8000], FrameLayout(1, 2, 16, 12, 15, True), [-1, -2048], False),
        ([0xFFFF, 0x8000], FrameLayout(1, 2, 16, 16, 15, True), [-1, -32768], False),
        ([0x00FF, 0x0080], FrameLayout(1, 2, 8, 8, 7, True), [-1, -128], False),
    ],
)
def test_bits_outside_the_stored_ones_are_cleared_and_told(
    samples: list[int], layout: FrameLayout, stored: list[int], dirty: bool
) -> None:
    values, told = stored_values(np.array([samples], np.uint16), layout, bits=layout.bits_allocated)
    assert (values.tolist(), told) == ([stored], dirty)
