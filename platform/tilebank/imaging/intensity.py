"""Define how stored values become presentation values: the settings, the records, and the contract below.

The contract, in the standard's order (PS3.4 N.2), in float64, as one table over the stored values:

1. Modality: the Modality LUT, else slope and intercept.
2. VOI (PS3.3 C.11.2): the first VOI LUT, else the first window by its function LINEAR, LINEAR_EXACT or SIGMOID. A
   look-up table clamps at its ends and is scaled by its own bits.
3. Polarity: MONOCHROME1 is inverted, so that air is dark.
4. The result is scaled to 0..2**bits_stored - 1. Padding is no measurement: it becomes 0, is never breast, and takes no
   part in any range.

Where step 1 or 2 cannot be done as the file says (nothing stated, a width that the standard forbids, centers without
widths, an unknown function, numbers that are not finite, a broken table), and where the window maps the whole breast to
one value, the range of the modality values inside the breast takes the place of the window, and a warning says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from tilebank.terms import ImageHeader

INTENSITY_VERSION = 1  # raise it when the same stored values would give other pixels: it is part of the fingerprint


class IntensityMode(StrEnum):
    """How stored values become pixels.

    voi: as the file says, see the contract; minmax: the range of all measured pixels; raw: modality values on the full
    scale of the bits stored; published: stored values, negated by the histogram, for the reference method's figures.
    Polarity is applied in all but the last, which ignores every tag.
    """

    VOI = "voi"
    MINMAX = "minmax"
    RAW = "raw"
    PUBLISHED = "published"


@dataclass(frozen=True)
class ReaderConfig:
    """How images are read: conf/platform.yaml, section `reader`."""

    intensity: IntensityMode = IntensityMode.VOI


@dataclass(frozen=True)
class LookUpTable:
    """A DICOM look-up table (PS3.3 C.11.1.1, C.11.2.1.1).

    first: the input value of the first entry, signed where the input is signed; bits: of an output value.
    """

    first: int
    values: NDArray[np.int32]
    bits: int


@dataclass(frozen=True)
class IntensityRules:
    """The intensity rules of a file, unchanged.

    windows: (center, width) pairs in the file's order; function: VOI LUT Function in upper case; inverted: MONOCHROME1.
    """

    slope: float
    intercept: float
    modality_lut: LookUpTable | None
    voi_lut: LookUpTable | None
    windows: tuple[tuple[float, float], ...]
    function: str
    inverted: bool
    bits_stored: int
    signed: bool


@dataclass(frozen=True)
class StoredImage:
    """Decoded values of one image, before any intensity rule.

    stored: (rows, columns); padding: True where a pixel is no measurement, None where the file names no padding.
    """

    header: ImageHeader
    stored: NDArray[np.int32]
    padding: NDArray[np.bool_] | None
    rules: IntensityRules


def look_up_table(descriptor: Sequence[int], data: bytes | Sequence[int], *, signed: bool) -> LookUpTable:
    """LUT Descriptor (0028,3002) and LUT Data (0028,3006, little endian where bytes) as a table (PS3.3 C.11.2.1.1).

    0 entries mean 65536; `signed` says how the first input value is meant; entries of 8 bits may come one a byte, two
    to a word. Raises ValueError where descriptor and data do not fit each other.
    """
    if len(descriptor) != 3:
        raise ValueError(f"a LUT Descriptor of {len(descriptor)} values instead of 3")
    entries = int(descriptor[0]) & 0xFFFF or 1 << 16
    first, bits = int(descriptor[1]) & 0xFFFF, int(descriptor[2])
    if not 8 <= bits <= 16:
        raise ValueError(f"a LUT of {bits} bits, not 8 to 16")
    raw = data if isinstance(data, bytes) else np.asarray(data, dtype=np.int64).astype("<u2").tobytes()
    if len(raw) >= 2 * entries:
        values = np.frombuffer(raw, "<u2", entries)
    elif bits == 8 and len(raw) >= entries:
        values = np.frombuffer(raw, np.uint8, entries).astype("<u2")
    else:
        raise ValueError(f"a LUT of {entries} entries of {bits} bits with {len(raw)} bytes of data")
    if int(values.max()) >= 1 << bits:
        raise ValueError(f"a LUT of {bits} bits with values up to {int(values.max())}")
    return LookUpTable(
        first=first - (1 << 16) if signed and first >= 1 << 15 else first, values=values.astype(np.int32), bits=bits
    )
