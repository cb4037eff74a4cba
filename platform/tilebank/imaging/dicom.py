"""A DICOM file becomes a Mammogram. The only reader that knows pydicom; knows nothing of masks, tiles or tables.

Only the tags named in this file ever leave it: ids and technical tags, no patient text.
"""

import logging
import struct
import warnings
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.multival import MultiValue
from pydicom.pixels import apply_modality_lut, apply_voi_lut

from tilebank.errors import ImageError
from tilebank.imaging.intensity import WindowFunction, apply_window, scale_to_range
from tilebank.terms import Laterality

READER_VERSION = 1  # raise it when the same file would give other pixels: it is part of the fingerprint

VIEW_CODES = {  # DICOM CID 4014, SNOMED RT and SNOMED CT
    "R-10242": "CC",
    "399162004": "CC",
    "R-10226": "MLO",
    "399368009": "MLO",
}
# What pydicom and its codecs raise on damaged data; anything else is a bug and should be seen as one.
DAMAGE = (
    AttributeError,
    EOFError,
    KeyError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)

logging.getLogger("pydicom").setLevel(logging.ERROR)  # its warnings quote header text, which may name a patient


@dataclass(frozen=True)
class ImageHeader:
    """What the header says about one image: ids and technical tags. Empty strings where it says nothing."""

    image_id: str
    patient_id: str
    study_uid: str
    accession_number: str
    laterality: Laterality
    view: str
    manufacturer: str
    rows: int
    columns: int
    bits_stored: int
    photometric: str
    transfer_syntax: str


@dataclass(frozen=True)
class Mammogram:
    """One image in presentation polarity (air dark) at native depth.

    pixels: uint16 (rows, columns) in 0..max_value, max_value = 2**bits_stored - 1; windowed_by says which rule made
    them: `lut`, `window` or `range`; spacing_mm is (row, column) spacing at the detector, None where not given.
    """

    header: ImageHeader
    pixels: NDArray[np.uint16]
    max_value: int
    windowed_by: str
    spacing_mm: tuple[float, float] | None


def read_header(source: BinaryIO) -> ImageHeader:
    """Ids and technical tags of one DICOM image; reads no further than its pixels. Raises ImageError.

    The stage is `read` where the file is no DICOM, `identify` where the header cannot be placed.
    """
    return _header_of(_parse(source, stop_before_pixels=True))


def read_mammogram(content: bytes) -> Mammogram:
    """Decode one DICOM image and bring it to presentation values. Raises ImageError (`read`, `identify`, `decode`)."""
    if not content:
        raise ImageError("read", "the file is empty")
    header = read_header(
        BytesIO(content)
    )  # by itself: of a file cut off in its pixels, pydicom gives back no tag at all
    dataset = _parse(BytesIO(content), stop_before_pixels=False)
    stored = _decode(dataset)
    pixels, windowed_by = _present(stored, dataset, header)
    spacing = dataset.get("ImagerPixelSpacing") or dataset.get("PixelSpacing")
    return Mammogram(
        header=header,
        pixels=pixels,
        max_value=2**header.bits_stored - 1,
        windowed_by=windowed_by,
        spacing_mm=(float(spacing[0]), float(spacing[1])) if spacing else None,
    )


def _parse(source: BinaryIO, *, stop_before_pixels: bool) -> Dataset:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return pydicom.dcmread(source, stop_before_pixels=stop_before_pixels)
    except InvalidDicomError:
        raise ImageError("read", "not a DICOM file: the DICM mark is missing") from None
    except DAMAGE as error:
        raise ImageError("read", f"the DICOM header is damaged ({type(error).__name__})") from error


def _header_of(dataset: Dataset) -> ImageHeader:
    try:
        for tag in ("SOPInstanceUID", "PatientID", "Rows", "Columns", "BitsStored", "PhotometricInterpretation"):
            if not dataset.get(tag):
                raise ImageError("identify", f"the header has no {tag}: not an image that can be placed")
        if int(dataset.get("SamplesPerPixel", 1)) != 1 or int(dataset.get("NumberOfFrames") or 1) != 1:
            raise ImageError("identify", "not a single gray frame (colour, or tomosynthesis)")
        return ImageHeader(
            image_id=str(dataset.SOPInstanceUID),
            patient_id=str(dataset.PatientID),
            study_uid=str(dataset.get("StudyInstanceUID", "")),
            accession_number=str(dataset.get("AccessionNumber", "") or ""),
            laterality=_laterality_of(dataset),
            view=_view_of(dataset),
            manufacturer=str(dataset.get("Manufacturer", "") or ""),
            rows=int(dataset.Rows),
            columns=int(dataset.Columns),
            bits_stored=int(dataset.BitsStored),
            photometric=str(dataset.PhotometricInterpretation),
            transfer_syntax=str(dataset.file_meta.TransferSyntaxUID),
        )
    except DAMAGE as error:
        raise ImageError("read", f"the DICOM header is damaged ({type(error).__name__})") from error


def _laterality_of(dataset: Dataset) -> Laterality:
    for tag in ("ImageLaterality", "Laterality"):
        text = str(dataset.get(tag, "") or "").strip().upper()
        if text in ("L", "R"):
            return Laterality(text)
    raise ImageError("identify", "the header names no side: ImageLaterality and Laterality are both missing or not L/R")


def _view_of(dataset: Dataset) -> str:
    text = str(dataset.get("ViewPosition", "") or "").strip().upper()
    if text:
        return text
    codes = (str(item.get("CodeValue", "")) for item in dataset.get("ViewCodeSequence") or [])
    for code in codes:
        if code in VIEW_CODES:
            return VIEW_CODES[code]
    raise ImageError("identify", "the header names no view: ViewPosition and a known ViewCodeSequence are both missing")


def _decode(dataset: Dataset) -> NDArray[np.int32]:
    """Stored values (rows, columns). A short or damaged pixel stream raises, it is never padded."""
    if "PixelData" not in dataset:
        raise ImageError("decode", "the file has no pixel data (cut off, or not an image)")
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax.is_encapsulated and syntax.is_compressed and not _codestream_is_whole(dataset):
        raise ImageError("decode", "the compressed pixel data is cut off before its end marker")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # codecs warn, and fill in, where they should fail
            stored = dataset.pixel_array
    except (*DAMAGE, Warning) as error:
        raise ImageError(
            "decode", f"the pixel data cannot be decoded ({syntax.name}: {type(error).__name__})"
        ) from error
    if stored.shape != (int(dataset.Rows), int(dataset.Columns)):
        raise ImageError("decode", f"the pixels are {stored.shape}, the header says {(dataset.Rows, dataset.Columns)}")
    return np.asarray(stored, dtype=np.int32)


def _codestream_is_whole(dataset: Dataset) -> bool:
    """Whether a JPEG-family frame ends with its end marker FFD9 (padding aside): decoders fill in what is cut off."""
    try:
        frame = next(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1))
    except (*DAMAGE, StopIteration):
        return False
    is_jpeg = frame[:2] in (b"\xff\xd8", b"\xff\x4f") or frame[4:8] == b"jP  "
    return not is_jpeg or b"\xff\xd9" in frame[-16:]


def _present(stored: NDArray[np.int32], dataset: Dataset, header: ImageHeader) -> tuple[NDArray[np.uint16], str]:
    """Modality LUT, VOI, polarity, as one table over the stored values that occur."""
    padding = _padding_of(stored, dataset)
    low, high = int(stored.min()), int(stored.max())
    domain = np.arange(low, high + 1)
    modality = np.asarray(apply_modality_lut(domain, dataset), dtype=np.float64)
    measured = stored if padding is None or padding.all() else stored[~padding]
    ends = modality[int(measured.min()) - low], modality[int(measured.max()) - low]
    unit, windowed_by = _voi(modality, dataset, value_range=(float(min(ends)), float(max(ends))))
    if header.photometric == "MONOCHROME1":
        unit = 1.0 - unit
    table = np.rint(unit * (2**header.bits_stored - 1)).astype(np.uint16)
    pixels = np.take(table, stored - low)
    if padding is not None:
        pixels[padding] = 0
    return pixels, windowed_by


def _voi(
    modality: NDArray[np.float64], dataset: Dataset, *, value_range: tuple[float, float]
) -> tuple[NDArray[np.float64], str]:
    """VOI LUT before window, the first of several (PS3.3 C.11.2.1.1); the value range where neither is usable."""
    sequence = dataset.get("VOILUTSequence")
    if sequence:
        looked_up = np.asarray(apply_voi_lut(modality.astype(np.int64), dataset, prefer_lut=True), dtype=np.float64)
        return looked_up / (2 ** int(sequence[0].LUTDescriptor[2]) - 1), "lut"
    center, width = _first(dataset.get("WindowCenter")), _first(dataset.get("WindowWidth"))
    name = str(dataset.get("VOILUTFunction") or "LINEAR").strip().upper()
    if center is not None and width is not None and name in WindowFunction.__members__:
        try:
            return apply_window(modality, center=center, width=width, function=WindowFunction(name)), "window"
        except ValueError:
            pass  # an impossible width is as good as none
    return scale_to_range(modality, low=value_range[0], high=value_range[1]), "range"


def _first(value: object) -> float | None:
    if isinstance(value, MultiValue):
        value = value[0] if value else None
    return float(str(value)) if value not in (None, "") else None


def _padding_of(stored: NDArray[np.int32], dataset: Dataset) -> NDArray[np.bool_] | None:
    """Pixels that are no measurement: Pixel Padding Value and its range limit (PS3.3 C.7.5.1.1.2)."""
    value, limit = dataset.get("PixelPaddingValue"), dataset.get("PixelPaddingRangeLimit")
    if value is None:
        return None
    ends = sorted((int(value), int(value if limit is None else limit)))
    return np.asarray((stored >= ends[0]) & (stored <= ends[1]))
