"""Decode compressed frames to arrays, and arrays to stored values.

One decoder per transfer syntax, each with one thread. A frame is decoded only when its own header says the same as the
file's (PS3.5 8.2): so nothing is filled in, cropped or scaled, and no frame can take more memory than its file says.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from tilebank.errors import ImageError
from tilebank.imaging.dicom.codestreams import describe_codestream

MAX_PIXELS = 200_000_000  # over ten times the largest mammogram
Decode = Callable[[bytes], NDArray[Any]]
# What the codecs raise on damaged data; anything else is a bug and should be seen as one.
CODEC_DAMAGE = (RuntimeError, ValueError, OverflowError)
RLE = "1.2.840.10008.1.2.5"
FILLER = b"\xa5\x5a\x3c\xc3" * 16  # entropy-coded bits of no particular meaning


@dataclass(frozen=True)
class FrameLayout:
    """The frame's layout by the file's header. `bits_allocated` is 8 or 16."""

    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool


@dataclass(frozen=True)
class Coding:
    """How frames of one transfer syntax are decoded.

    codings: what their codestream may be; lossy: whether a sample may come out a little higher than it went in.
    """

    name: str
    codings: tuple[str, ...]
    decode: Decode
    lossy: bool = False


def decode_frame(frame: bytes, layout: FrameLayout, *, syntax: str) -> tuple[NDArray[Any], int]:
    """The samples of one compressed gray frame (rows, columns), and the bits that each is wide.

    Raises ImageError (`decode`): SyntaxUnknown, SizeMismatch, DepthMismatch, PixelDataCutOff, PixelDataDamaged.
    """
    if syntax not in SUPPORTED:
        raise ImageError("decode", f"the transfer syntax {syntax[:64]} is not supported", "SyntaxUnknown")
    if syntax == RLE:
        return _decode_rle(frame, layout), layout.bits_allocated
    coding = DECODERS[syntax]
    bits = _assert_agrees(frame, layout, coding=coding)
    decoded = _run(coding, frame)
    if decoded.shape != (layout.rows, layout.columns) or decoded.dtype.kind not in "iu":
        raise _damaged(coding.name, f"it decodes to {decoded.dtype} {decoded.shape}")
    if coding.lossy and not layout.signed and bits > layout.bits_stored == layout.high_bit + 1:
        decoded = np.minimum(decoded, (1 << layout.bits_stored) - 1)  # too high by its loss: that is no dirt
    return decoded, bits


def stored_values(samples: NDArray[Any], layout: FrameLayout, *, bits: int) -> tuple[NDArray[np.int32], bool]:
    """Samples `bits` wide as stored values, and whether bits outside BitsStored were set (and are cleared).

    Values end at HighBit and are sign-extended where the header calls them signed (PS3.5 8.1.1).
    """
    values = samples.astype(np.int32)
    shift = layout.high_bit + 1 - layout.bits_stored if bits > layout.high_bit else 0
    if not shift and not layout.signed and values.min() >= 0 and int(values.max()) >> layout.bits_stored == 0:
        return values, False
    inside = np.int32((1 << layout.bits_stored) - 1)
    kept = (values >> shift) & inside
    dirty = bool(np.any((values & np.int32((1 << bits) - 1)) != (kept << shift)))
    if not layout.signed:
        return kept, dirty
    sign = np.int32(1 << (layout.bits_stored - 1))
    kept = (kept ^ sign) - sign
    as_signed = samples.astype(np.int16 if bits > 8 else np.int8)
    return kept, dirty and bool(np.any(as_signed != (kept << shift)))  # an extended sign is no dirt


def _assert_agrees(frame: bytes, layout: FrameLayout, *, coding: Coding) -> int:
    """The codestream's bits, when its header agrees with the file's."""
    found = describe_codestream(frame)
    if found.coding not in coding.codings:
        raise ImageError("decode", f"the header says {coding.name}, the codestream is {found.coding}", "SyntaxMismatch")
    if found.components != 1:
        raise ImageError("decode", f"the codestream has {found.components} components, not one", "NotOneGrayFrame")
    if (found.rows, found.columns) != (layout.rows, layout.columns):
        reason = f"the codestream is {found.rows} x {found.columns}, the header says {layout.rows} x {layout.columns}"
        raise ImageError("decode", reason, "SizeMismatch")
    if not layout.bits_stored <= found.bits <= layout.bits_allocated:
        says = f"{layout.bits_stored} bits stored in {layout.bits_allocated}"
        raise ImageError("decode", f"the codestream has {found.bits} bits, the header says {says}", "DepthMismatch")
    return found.bits


def _run(coding: Coding, frame: bytes) -> NDArray[Any]:
    try:
        return coding.decode(frame)
    except CODEC_DAMAGE as error:
        raise _damaged(coding.name, type(error).__name__) from error


def _decode_rle(frame: bytes, layout: FrameLayout) -> NDArray[Any]:
    """One byte plane a segment, the high one first (PS3.5 G)."""
    dtype = np.dtype("<u2" if layout.bits_allocated == 16 else "u1")
    try:
        planes = imagecodecs.dicomrle_decode(frame, dtype.str)
    except CODEC_DAMAGE as error:
        raise _damaged("RLE", type(error).__name__) from error
    if len(planes) != layout.rows * layout.columns * dtype.itemsize:
        raise _damaged("RLE", f"it holds {len(planes)} bytes for {layout.rows} x {layout.columns} pixels")
    return np.frombuffer(planes, dtype).reshape(layout.rows, layout.columns)


def _decode_jpeg2000(frame: bytes) -> NDArray[Any]:
    """Also the high-throughput coding: OpenJPH would do it three times faster, but hands out what it failed to fill."""
    return imagecodecs.jpeg2k_decode(frame, numthreads=1)


def _decode_jpeg(frame: bytes) -> NDArray[Any]:
    """Decoded twice: libjpeg fills in what is missing without a word, and then what follows the data would show."""
    decoded = imagecodecs.jpeg8_decode(frame)
    end = frame.rindex(b"\xff\xd9")
    if not np.array_equal(decoded, imagecodecs.jpeg8_decode(frame[:end] + FILLER + frame[end:])):
        raise ValueError("the data ends before the last row")
    return decoded


def _damaged(name: str, what: str) -> ImageError:
    return ImageError("decode", f"the pixel data cannot be decoded ({name}: {what})", "PixelDataDamaged")


_JPEG2000 = ("jpeg2000", "high_throughput")
DECODERS = {
    "1.2.840.10008.1.2.4.50": Coding("JPEG baseline", ("baseline",), _decode_jpeg, lossy=True),
    "1.2.840.10008.1.2.4.51": Coding("JPEG extended", ("baseline", "extended"), _decode_jpeg, lossy=True),
    "1.2.840.10008.1.2.4.57": Coding("JPEG lossless", ("lossless",), _decode_jpeg),
    "1.2.840.10008.1.2.4.70": Coding("JPEG lossless, first order", ("lossless",), _decode_jpeg),
    "1.2.840.10008.1.2.4.80": Coding("JPEG-LS lossless", ("jpeg_ls",), imagecodecs.jpegls_decode),
    "1.2.840.10008.1.2.4.81": Coding("JPEG-LS near-lossless", ("jpeg_ls",), imagecodecs.jpegls_decode, lossy=True),
    "1.2.840.10008.1.2.4.90": Coding("JPEG 2000 lossless", _JPEG2000, _decode_jpeg2000),
    "1.2.840.10008.1.2.4.91": Coding("JPEG 2000", _JPEG2000, _decode_jpeg2000, lossy=True),
    "1.2.840.10008.1.2.4.201": Coding("High-Throughput JPEG 2000 lossless", _JPEG2000, _decode_jpeg2000),
    "1.2.840.10008.1.2.4.202": Coding("High-Throughput JPEG 2000 lossless, RPCL", _JPEG2000, _decode_jpeg2000),
    "1.2.840.10008.1.2.4.203": Coding("High-Throughput JPEG 2000", _JPEG2000, _decode_jpeg2000, lossy=True),
}
SUPPORTED = frozenset({*DECODERS, RLE})
