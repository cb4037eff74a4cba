"""What several tests stand on: real DICOM bytes, the real mammograms, and a small phantom study."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

from tilebank.phantom.writer import PhantomConfig, write_phantoms

CHECKOUT = Path(__file__).resolve().parents[1]
SHARED = CHECKOUT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def real_mammograms() -> Path:
    """Six real full-field digital mammograms of two exams; they lie beside the checkout, not in it."""
    folder = SHARED / "mammograms"
    if not folder.is_dir():
        pytest.skip("the real mammograms (../shared/data/mammograms) are not on this machine")
    return folder


@pytest.fixture(scope="session")
def phantom_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty patients at 512 x 384: small enough to be quick, many enough to be split."""
    root = tmp_path_factory.mktemp("phantom")
    write_phantoms(str(root), PhantomConfig(patients=30, rows=512, columns=384, max_exams=1), processes=2)
    return root


@pytest.fixture
def dicom_of() -> Callable[..., bytes]:
    """Builds the bytes of one DICOM mammogram from stored values and tags."""
    return make_dicom


def make_dicom(stored: NDArray[np.integer], *, syntax: str = ExplicitVRLittleEndian, **tags: object) -> bytes:
    """A Digital Mammography For Presentation file; a tag given as None is left out."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str(sorted(tags.items())), str(stored.sum())])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    defaults: dict[str, object] = {
        "SOPClassUID": meta.MediaStorageSOPClassUID,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "StudyInstanceUID": "2.25.1",
        "AccessionNumber": "A1",
        "PatientID": "P1",
        "PatientName": "SECRET^NAME",
        "Modality": "MG",
        "ImageLaterality": "L",
        "ViewPosition": "CC",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": stored.shape[0],
        "Columns": stored.shape[1],
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": int(stored.dtype.kind == "i"),
    }
    for name, value in (defaults | tags).items():
        if value is not None:
            setattr(dataset, name, value)
    dataset.PixelData = stored.astype("<i2" if stored.dtype.kind == "i" else "<u2").tobytes()
    if syntax != ExplicitVRLittleEndian:
        dataset.compress(syntax, generate_instance_uid=False)
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def half_disc(rows: int, columns: int, *, value: int = 2000, right: bool = False) -> NDArray[np.uint16]:
    """A bright half disc against the left (or right) edge on dark air: the simplest breast."""
    y, x = np.mgrid[:rows, :columns]
    inside = (x / (0.6 * columns)) ** 2 + ((y - rows / 2) / (0.4 * rows)) ** 2 <= 1
    pixels = np.where(inside, value, 20).astype(np.uint16)
    return np.ascontiguousarray(pixels[:, ::-1]) if right else pixels
