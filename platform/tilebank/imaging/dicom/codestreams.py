"""Parse the header of a compressed frame: its size, its depth, and whether it is complete.

Also undoes DICOM's encapsulation (PS3.5 A.4). These checks run before a decoder sees the data, so that no decoder gets
a frame that is cut off or of another size than its file says.
"""

import struct
from dataclasses import dataclass

from tilebank.errors import ImageError

ITEM, END_OF_ITEMS = 0xFFFEE000, 0xFFFEE0DD
SIZE_MARKERS = {0xC0: "baseline", 0xC1: "extended", 0xC3: "lossless", 0xF7: "jpeg_ls"}  # ITU-T T.81 B.1, T.87 C.1
BARE_MARKERS = frozenset({0x01, 0xD8, *range(0xD0, 0xD8)})  # markers without a length
HIGH_THROUGHPUT = 0x4000  # Rsiz bit 14: ITU-T T.814 A.2


@dataclass(frozen=True)
class Codestream:
    """A frame's own header.

    coding: `baseline`, `extended`, `lossless`, `jpeg_ls`, `jpeg2000` or `high_throughput`; bits: of a sample.
    """

    coding: str
    rows: int
    columns: int
    components: int
    bits: int
    signed: bool


def join_fragments(value: memoryview, *, offsets: bytes = b"", lengths: bytes = b"") -> bytes:
    """The one frame in encapsulated pixel data; `offsets` and `lengths` are the Extended Offset Table's, if any.

    Raises ImageError (`decode`): PixelDataCutOff without an end, NotOneGrayFrame where a table names several frames,
    PixelDataDamaged for anything else that is no encapsulation.
    """
    fragments = _items(value)
    table = fragments.pop(0)
    if len(table) > 4 or len(offsets) > 8:
        frames = max(len(table) // 4, len(offsets) // 8)
        raise ImageError("decode", f"the offset table names {frames} frames instead of one", "NotOneGrayFrame")
    if any(table) or any(offsets):
        raise _damaged("the offset table points past the first fragment")
    frame = b"".join(fragments)
    if len(lengths) == 8:
        stated = int.from_bytes(lengths, "little")
        if stated > len(frame):
            raise ImageError(
                "decode", f"the frame has {len(frame)} of the {stated} bytes that its table states", "PixelDataCutOff"
            )
        frame = frame[:stated]
    if not frame:
        raise ImageError("decode", "the pixel data is empty", "NoPixelData")
    return frame


def describe_codestream(frame: bytes) -> Codestream:
    """The header of a JPEG, JPEG-LS or JPEG 2000 frame. Raises ImageError (`decode`) where it is none, or cut off."""
    try:
        if frame[:2] == b"\xff\xd8":
            return _describe_jpeg(frame)
        start = _start_of_jpeg2000(frame)
        described = _describe_jpeg2000(frame, start)
    except (struct.error, IndexError):
        raise _damaged("the codestream's own header is incomplete") from None
    if not _has_all_tiles(frame, start):
        raise ImageError("decode", "the compressed pixel data is cut off before its end marker", "PixelDataCutOff")
    return described


def _items(value: memoryview) -> list[memoryview]:
    found: list[memoryview] = []
    position = 0
    while position + 8 <= len(value):
        group, element, length = struct.unpack_from("<HHI", value, position)
        tag = group << 16 | element
        position += 8
        if tag == END_OF_ITEMS:
            if not found:
                raise _damaged("there is no offset table")
            return found
        if tag != ITEM or length == 0xFFFFFFFF:
            raise _damaged("a fragment does not begin where the one before it ends")
        if position + length > len(value):
            break
        found.append(value[position : position + length])
        position += length
    raise ImageError("decode", "the file is cut off in its pixel data", "PixelDataCutOff")


def _describe_jpeg(frame: bytes) -> Codestream:
    if b"\xff\xd9" not in frame[-16:]:  # padding may follow the end marker; decoders fill in what is cut off
        raise ImageError("decode", "the compressed pixel data is cut off before its end marker", "PixelDataCutOff")
    position = 2
    while frame[position] == 0xFF:
        marker = frame[position + 1]
        if marker in SIZE_MARKERS:
            bits, rows, columns, components = struct.unpack_from(">BHHB", frame, position + 4)
            return Codestream(SIZE_MARKERS[marker], rows, columns, components, bits, signed=False)
        if marker in (0xD9, 0xDA):
            break
        if marker == 0xFF:
            position += 1  # fill byte
        elif marker in BARE_MARKERS:
            position += 2
        else:
            position += 2 + int(struct.unpack_from(">H", frame, position + 2)[0])
    raise _damaged("the JPEG frame has no usable size marker")


def _start_of_jpeg2000(frame: bytes) -> int:
    """Where the codestream begins: at once, or in the box `jp2c` of a JP2 file, which DICOM forbids and some write."""
    position = 0
    while frame[4:8] == b"jP  ":
        length, name = struct.unpack_from(">I4s", frame, position)
        if name == b"jp2c":
            position += 16 if length == 1 else 8
            break
        if length < 8:
            raise _damaged("the JP2 boxes are broken")
        position += length
    if frame[position : position + 4] != b"\xff\x4f\xff\x51":
        raise _damaged("it is no JPEG, JPEG-LS or JPEG 2000 codestream")
    return position


def _describe_jpeg2000(frame: bytes, start: int) -> Codestream:
    """The SIZ segment (ITU-T T.800 A.5.1)."""
    capabilities, *sizes = struct.unpack_from(">H8I", frame, start + 6)
    components, depth, step_x, step_y = struct.unpack_from(">HBBB", frame, start + 40)
    right, bottom, left, top = sizes[:4]
    if (step_x, step_y) != (1, 1) or right <= left or bottom <= top:
        raise _damaged("its size segment is impossible")
    return Codestream(
        coding="high_throughput" if capabilities & HIGH_THROUGHPUT else "jpeg2000",
        rows=bottom - top,
        columns=right - left,
        components=components,
        bits=(depth & 0x7F) + 1,
        signed=bool(depth & 0x80),
    )


def _has_all_tiles(frame: bytes, start: int) -> bool:
    """Whether the tile-parts, each as long as it says, lead to the end marker (ITU-T T.800 A.4.2)."""
    position = start + 2
    while position + 2 <= len(frame):
        marker = int.from_bytes(frame[position : position + 2], "big")
        if marker == 0xFFD9:
            return True
        if position + 12 > len(frame) or marker < 0xFF00:
            return False
        if marker == 0xFF90:
            length = int.from_bytes(frame[position + 6 : position + 10], "big")
            if length == 0:  # the last one, up to the end marker
                return b"\xff\xd9" in frame[-16:]
            position += max(length, 2)
        else:
            position += 2 + int.from_bytes(frame[position + 2 : position + 4], "big")
    return False


def _damaged(what: str) -> ImageError:
    return ImageError("decode", f"the compressed pixel data is damaged: {what}", "PixelDataDamaged")
