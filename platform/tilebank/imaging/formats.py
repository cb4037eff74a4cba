"""Choose the reader of an image file by the bytes it starts with.

A new format is one module with two functions and one row of FORMATS. A format without patient, side and view in its
files works for datasets whose table names them: it leaves those fields of the header empty.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from tilebank.imaging.dicom import reader as dicom
from tilebank.imaging.intensity import StoredImage
from tilebank.terms import ImageHeader

HEAD_BYTES = 16


@dataclass(frozen=True)
class ImageFormat:
    """One file format.

    starts: what a file of this format begins with; read_header: the header, without decoding pixels; read_stored: the
    header, the decoded values (rows, columns) and the rules for their intensity. Both raise ImageError.
    """

    starts: bytes
    read_header: Callable[[BinaryIO], ImageHeader]
    read_stored: Callable[[bytes], StoredImage]


FORMATS = {
    # Keep DICOM last: its files may start with any 128 bytes, and its reader reports what a foreign file is.
    "dicom": ImageFormat(b"", dicom.read_header, dicom.read_stored),
}


def read_header(source: BinaryIO) -> ImageHeader:
    """The header of an image file, read from its start. Raises ImageError (stage `read`)."""
    head = source.read(HEAD_BYTES)
    source.seek(0)
    return _format_of(head).read_header(source)


def read_stored(content: bytes) -> StoredImage:
    """Decode the one gray image in a file. Raises ImageError (stages `read` and `decode`)."""
    return _format_of(content[:HEAD_BYTES]).read_stored(content)


def _format_of(head: bytes) -> ImageFormat:
    return next(known for known in FORMATS.values() if head.startswith(known.starts))
