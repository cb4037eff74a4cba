"""Stored images built by hand, for tests that need no file."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tilebank.imaging.intensity import IntensityRules, StoredImage
from tilebank.terms import ImageHeader, ImageKind

RULES = IntensityRules(
    slope=1.0,
    intercept=0.0,
    modality_lut=None,
    voi_lut=None,
    windows=((2048.0, 4096.0),),
    function="LINEAR",
    inverted=False,
    bits_stored=12,
    signed=False,
)
HEADER = ImageHeader(
    sop_instance_uid="2.25.1",
    patient_id="P1",
    study_uid="2.25.2",
    accession_number="A1",
    laterality="L",
    laterality_from="ImageLaterality",
    view="CC",
    view_from="ViewPosition",
    conflict="",
    kind=ImageKind.FFDM,
    special=(),
    sop_class="1.2.840.10008.5.1.4.1.1.1.2",
    transfer_syntax="1.2.840.10008.1.2.1",
    modality="MG",
    manufacturer="Aster Imaging",
    photometric="MONOCHROME2",
    rows=0,
    columns=0,
    frames=1,
    samples=1,
    bits_allocated=16,
    bits_stored=12,
    high_bit=11,
    signed=False,
    intensity="linear",
    windows=1,
    spacing_mm=None,
    warnings=(),
)


def stored_image(
    stored: NDArray[np.integer], *, padding: NDArray[np.bool_] | None = None, **rules: object
) -> StoredImage:
    """`stored` (rows, columns) under RULES, with the rules that are named in their place."""
    return StoredImage(HEADER, np.asarray(stored, dtype=np.int32), padding, replace(RULES, **rules))


def breast_of(
    low: int, high: int, *, air: int, rows: int = 256, columns: int = 192, right: bool = False
) -> NDArray[np.uint16]:
    """A half disc against the left (or right) edge whose values rise from `low` to `high`; a twentieth holds each end.

    The values rise from the nipple to the chest wall, so that air and the darkest tissue lie side by side.
    """
    y, x = np.mgrid[:rows, :columns]
    inside = (x / (0.7 * columns)) ** 2 + ((y - rows / 2) / (0.42 * rows)) ** 2 <= 1
    rank = np.empty(inside.sum())
    rank[np.argsort(-x[inside], kind="stable")] = np.linspace(0, 1, rank.size)
    stored = np.full((rows, columns), air, dtype=np.uint16)
    stored[inside] = np.rint(low + (high - low) * np.clip((rank - 0.05) / 0.9, 0, 1))
    return np.ascontiguousarray(stored[:, ::-1]) if right else stored
