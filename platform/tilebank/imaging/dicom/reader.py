"""Read a DICOM file: its header record and its stored values.

Only the tags listed in `header` are read: ids and technical tags, no patient text. Errors quote no others.
"""

import logging
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import SEEK_END, BytesIO
from typing import BinaryIO

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataelem import RawDataElement
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_dataset

from tilebank.errors import ImageError
from tilebank.imaging.dicom.codecs import MAX_PIXELS, SUPPORTED, FrameLayout, decode_frame, stored_values
from tilebank.imaging.dicom.codestreams import join_fragments
from tilebank.imaging.dicom.header import ALLOWED_TAGS, Tags, describe_header, intensity_rules
from tilebank.imaging.dicom.header import DAMAGE as DAMAGED_VALUE
from tilebank.imaging.intensity import StoredImage
from tilebank.terms import ImageHeader

READER_VERSION = 2  # raise it when the same file would give other stored values: it is part of the fingerprint

MAX_INFLATED_BYTES = 2 * MAX_PIXELS + (1 << 26)  # of a deflated file: the largest image, and a header
BIG_ENDIAN, DEFLATED = "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
NATIVE = frozenset({"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", BIG_ENDIAN, DEFLATED})
PIXEL_DATA, FLOAT_PIXEL_DATA, DOUBLE_PIXEL_DATA = 0x7FE00010, 0x7FE00008, 0x7FE00009
# What pydicom raises on damaged data; anything else is a bug and should be seen as one.
DAMAGE = (*DAMAGED_VALUE, BytesLengthException, InvalidDicomError, EOFError, MemoryError, struct.error, zlib.error)
LOOKS_LIKE = {  # what is often saved instead of a DICOM file
    b"<": "an HTML or XML page, perhaps of a failed download",
    b"version https://git-lfs": "a pointer of Git LFS: fetch the file itself",
    b"PK": "a zip archive",
    b"\x1f\x8b": "a gzip archive",
    b"\x89PNG": "a PNG",
    b"\xff\xd8": "a JPEG",
    b"\0" * 132: "zeros",
}

logging.getLogger("pydicom").setLevel(logging.CRITICAL)  # its messages quote header text and file names


@dataclass(frozen=True)
class _Parsed:
    """A file up to its pixel data, which begin at byte `pixels_at` of `inflated`, else of the file; None for none."""

    tags: Tags
    header: ImageHeader
    pixels_at: int | None
    inflated: bytes | None


def read_header(source: BinaryIO) -> ImageHeader:
    """The header of one DICOM object; reads the file only up to its pixels (all of a deflated file).

    Raises ImageError (`read`): EmptyFile, NotDicom, HeaderDamaged or TooLarge. A missing side or view, or an object
    that is not an image, is not an error here: the record says so.
    """
    return _parse(source).header


def read_stored(content: bytes) -> StoredImage:
    """Decode one gray frame. Raises ImageError: those of `read_header`, and `decode`.

    Never pads, crops or fills in: pixel data that does not fit its header is refused.
    """
    parsed = _parse(BytesIO(content))
    layout = _layout_of(parsed.header, has_pixels=parsed.pixels_at is not None)
    data = memoryview(content if parsed.inflated is None else parsed.inflated)
    samples, bits = _samples(data, parsed, layout)
    stored, dirty = stored_values(samples, layout, bits=bits)
    with quietly():
        rules, odd = intensity_rules(parsed.tags, parsed.header)
        padding = _padding_of(stored, parsed.tags)
    if dirty:
        odd = (*odd, "bits outside BitsStored were set, and are cleared")
    header = replace(parsed.header, warnings=(*parsed.header.warnings, *odd))
    return StoredImage(header=header, stored=stored, padding=padding, rules=rules)


@contextmanager
def quietly() -> Iterator[None]:
    """Silence pydicom, whose warnings quote values."""
    with warnings.catch_warnings(), pydicom.config.disable_value_validation():
        warnings.simplefilter("ignore")
        yield


def _parse(source: BinaryIO) -> _Parsed:
    head = source.read(144)  # preamble, mark, and the length of the file's own group
    if not head:
        raise ImageError("read", "the file is empty", "EmptyFile")
    if head[128:132] != b"DICM":
        like = next((f" (it looks like {what})" for start, what in LOOKS_LIKE.items() if head.startswith(start)), "")
        raise ImageError("read", f"not a DICOM file: the DICM mark is missing{like}", "NotDicom")
    try:
        with quietly():
            return _parse_marked(source, head)
    except DAMAGE as error:
        raise _damaged(type(error).__name__) from error


def _parse_marked(source: BinaryIO, head: bytes) -> _Parsed:
    group = head + source.read(int.from_bytes(head[140:144], "little") if head[136:138] == b"UL" else 0)[: 1 << 16]
    inflated = _inflate(source.read()) if DEFLATED.encode() in group[144:] else None
    wanted = [pydicom.datadict.tag_for_keyword(name) for name in ALLOWED_TAGS]
    if inflated is None:
        source.seek(0)
        dataset = file = pydicom.dcmread(source, stop_before_pixels=True, specific_tags=wanted)
        body = source
    else:
        file, body = pydicom.dcmread(BytesIO(group)), BytesIO(inflated)
        dataset = read_dataset(
            body, is_implicit_VR=False, is_little_endian=True, stop_when=_is_pixel_data, specific_tags=wanted
        )
    syntax = str(file.file_meta.get("TransferSyntaxUID", ""))
    tags = Tags(dataset, damage=DAMAGE, little_endian=syntax != BIG_ENDIAN)
    sop_class = tags.text("SOPClassUID") or str(file.file_meta.get("MediaStorageSOPClassUID", ""))
    pixels_at = _pixels_at(body, little_endian=tags.little_endian)
    if pixels_at is None and inflated is None and _is_cut_off(body):
        raise _damaged("it is cut off")
    if not sop_class or not len(dataset):
        raise _damaged("it does not say what it is")
    header = describe_header(tags, sop_class=sop_class, transfer_syntax=syntax, has_pixels=pixels_at is not None)
    return _Parsed(tags, header, pixels_at, inflated)


def _inflate(deflated: bytes) -> bytes:
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated = engine.decompress(deflated, MAX_INFLATED_BYTES)
    if engine.unconsumed_tail:
        raise ImageError("read", f"the deflated file holds more than {MAX_INFLATED_BYTES} bytes", "TooLarge")
    if not engine.eof:
        raise _damaged("the deflated file is cut off")
    return inflated


def _is_pixel_data(tag: int, vr: str | None, length: int) -> bool:  # noqa: ARG001 - pydicom's signature
    return tag in (PIXEL_DATA, FLOAT_PIXEL_DATA, DOUBLE_PIXEL_DATA)


def _pixels_at(body: BinaryIO, *, little_endian: bool) -> int | None:
    """Where pydicom stopped, if that is pixel data."""
    position = body.tell()
    start = body.read(4)
    body.seek(position)
    if len(start) < 4:
        return None
    group, element = struct.unpack("<HH" if little_endian else ">HH", start)
    return position if _is_pixel_data(group << 16 | element, None, 0) else None


def _is_cut_off(body: BinaryIO) -> bool:
    """Whether a file without pixel data ends within an element, not after one."""
    size = body.seek(0, SEEK_END)
    body.seek(0)
    dataset = pydicom.dcmread(body)
    elements = [dataset.get_item(tag) for tag in dataset.keys()]  # noqa: SIM118 - a dataset yields its elements
    ends = [item.value_tell + item.length for item in elements if isinstance(item, RawDataElement)]
    return not elements or (isinstance(elements[-1], RawDataElement) and max(ends) != size)


def _layout_of(header: ImageHeader, *, has_pixels: bool) -> FrameLayout:
    """The header's word on its frame, when that is one gray frame of a sane size."""
    if not has_pixels or not header.rows or not header.columns:
        raise ImageError("decode", "the file has no pixel data (cut off, or not an image)", "NoPixelData")
    if (header.frames, header.samples) != (1, 1) or header.photometric not in ("MONOCHROME1", "MONOCHROME2"):
        what = f"{header.frames} frames of {header.samples} samples, {header.photometric or 'no photometric'}"
        raise ImageError("decode", f"not a single gray frame: {what}", "NotOneGrayFrame")
    if header.rows * header.columns > MAX_PIXELS:
        reason = f"{header.rows} x {header.columns} are more than {MAX_PIXELS} pixels"
        raise ImageError("decode", reason, "TooLarge")
    stored, high, allocated = header.bits_stored, header.high_bit, header.bits_allocated
    if allocated not in (8, 16) or not 1 <= stored <= high + 1 <= allocated:
        reason = f"{stored} bits stored up to bit {high} of {allocated} allocated: no known layout"
        raise ImageError("decode", reason, "DepthMismatch")
    return FrameLayout(header.rows, header.columns, allocated, stored, high, header.signed)


def _samples(data: memoryview, parsed: _Parsed, layout: FrameLayout) -> tuple[NDArray[np.generic], int]:
    """The samples of the frame, and how many bits wide they are."""
    syntax, little = parsed.header.transfer_syntax, parsed.tags.little_endian
    if syntax not in NATIVE and syntax not in SUPPORTED:
        raise ImageError("decode", f"the transfer syntax {syntax or '(none)'} is not supported", "SyntaxUnknown")
    vr, length, value = _pixel_element(data, parsed.pixels_at or 0, little_endian=little)
    if (length is None) == (syntax in NATIVE):
        reason = "the pixel data is encapsulated where its transfer syntax is not, or the reverse"
        raise ImageError("decode", reason, "SyntaxMismatch")
    if length is not None:
        return _native(value, layout, length=length, little_endian=little, words=vr != b"OB"), layout.bits_allocated
    table, lengths = (parsed.tags.value(name) or b"" for name in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"))
    frame = join_fragments(value, offsets=bytes(table), lengths=bytes(lengths))
    return decode_frame(frame, layout, syntax=syntax)


def _pixel_element(data: memoryview, at: int, *, little_endian: bool) -> tuple[bytes, int | None, memoryview]:
    """VR (empty where implicit), length (None where undefined) and all that follows."""
    order = "<" if little_endian else ">"
    vr = bytes(data[at + 4 : at + 6])
    explicit = vr in (b"OB", b"OW", b"UN")
    start = at + (12 if explicit else 8)
    if start > len(data):
        raise ImageError("decode", "the file is cut off in its pixel data", "PixelDataCutOff")
    if struct.unpack_from(f"{order}HH", data, at) != (PIXEL_DATA >> 16, PIXEL_DATA & 0xFFFF):
        raise ImageError("decode", "the pixels are floating-point numbers", "DepthMismatch")
    length = int(struct.unpack_from(f"{order}I", data, start - 4)[0])
    return vr if explicit else b"", None if length == 0xFFFFFFFF else length, data[start:]


def _native(
    value: memoryview, layout: FrameLayout, *, length: int, little_endian: bool, words: bool
) -> NDArray[np.generic]:
    """Uncompressed pixels: exactly as many bytes as the header asks for, and one to make them even (PS3.5 8.1.1)."""
    wanted = layout.rows * layout.columns * layout.bits_allocated // 8
    if min(length, len(value)) < wanted:
        reason = f"the pixel data is cut off: {min(length, len(value))} of {wanted} bytes"
        raise ImageError("decode", reason, "PixelDataCutOff")
    if length > wanted + wanted % 2:
        raise ImageError("decode", f"{length} bytes of pixel data where the header asks for {wanted}", "SizeMismatch")
    order = "<" if little_endian else ">"
    if layout.bits_allocated == 8:
        even = np.frombuffer(value, np.uint8, min(wanted + wanted % 2, len(value)))
        if words and not little_endian and even.size % 2 == 0:  # two pixels to a word, the first one low
            even = even.reshape(-1, 2)[:, ::-1].reshape(-1)
        return even[:wanted].reshape(layout.rows, layout.columns)
    return np.frombuffer(value, f"{order}u2", wanted // 2).reshape(layout.rows, layout.columns)


def _padding_of(stored: NDArray[np.int32], tags: Tags) -> NDArray[np.bool_] | None:
    """Pixels that are no measurement: Pixel Padding Value and its range limit (PS3.3 C.7.5.1.1.2)."""
    values, limits = tags.numbers("PixelPaddingValue"), tags.numbers("PixelPaddingRangeLimit")
    if len(values) != 1:
        return None
    ends = sorted((int(values[0]), int(limits[0] if len(limits) == 1 else values[0])))
    return np.asarray((stored >= ends[0]) & (stored <= ends[1]))


def _damaged(what: str) -> ImageError:
    return ImageError("read", f"the DICOM header is damaged ({what})", "HeaderDamaged")
