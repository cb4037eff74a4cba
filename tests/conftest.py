"""What several tests stand on: DICOM bytes, the real mammograms, a small phantom study and its vectors, one Ray.

What costs seconds is made once for all processes of a test run (once.py); a test that changes it takes a copy.
"""

import csv
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    DigitalMammographyXRayImageStorageForPresentation,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    generate_uid,
)
from tests.once import made_once

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
    """Thirty patients at 512 x 384: small enough to be quick, many enough to be split. Written once for all workers."""
    config = PhantomConfig(patients=30, rows=512, columns=384, max_exams=1)

    def write(folder: Path) -> None:
        write_phantoms(str(folder / "phantom"), config, processes=2)

    return made_once(tmp_path_factory, "phantoms", write)[0] / "phantom"


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """Ray on this machine, started once for all tests of a process."""
    import ray

    from tilebank.flows.engine.cluster import connect_ray

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        connect_ray()
        yield
        ray.shutdown()


@pytest.fixture(scope="session")
def phantom_store(phantom_root: Path, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the vectors of the whole phantom study, extracted once as conf/ says. To be read, or copied."""
    from tilebank.flows.extract.extract import extract
    from tilebank.flows.settings.choices import Choices
    from tilebank.flows.settings.settings import load_settings

    def fill(folder: Path) -> None:
        request.getfixturevalue("ray_session")
        said = ("extraction.commit_images=8",)
        summary = extract(load_settings(Choices(root=str(phantom_root), store=str(folder / "store"), set=said)))
        assert (summary.images, summary.failures) == (120, {})

    return made_once(tmp_path_factory, "phantom-store", fill)[0] / "store"


@pytest.fixture(scope="session")
def new_record(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], str]:
    """`new_record(folder)`: the URI of an empty MLflow database in `folder`, a copy of one: its tables cost seconds."""
    from tilebank.tracking.connection import open_client

    def fill(folder: Path) -> None:
        open_client(f"sqlite:///{folder}/mlflow.db").search_experiments()

    folder, _ = made_once(tmp_path_factory, "record", fill)

    def new(place: Path) -> str:
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / "mlflow.db", place)
        return f"sqlite:///{place}/mlflow.db"

    return new


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first: the processes then end with quick ones, at about the same time.

    One that needs nothing of the others leads them, or all but one process would wait for the phantoms' vectors.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path not in slow, item.path.name != "test_privacy.py"))


@pytest.fixture
def empty_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary folder of the test's own, to see what is left in it."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def dicom_of() -> Callable[..., bytes]:
    """Builds the bytes of one DICOM mammogram from stored values and tags."""
    return make_dicom


def make_dicom(
    stored: NDArray[np.integer], *, syntax: str = ExplicitVRLittleEndian, frame: bytes | None = None, **tags: object
) -> bytes:
    """A Digital Mammography For Presentation file; a tag given as None is left out.

    `frame` is the codestream of a compressed syntax, encoded from `stored` where it is not given.
    """
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str(sorted(tags.items())), str(stored.sum())])
    meta.TransferSyntaxUID = syntax
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
    given = defaults | tags
    with pydicom.config.disable_value_validation():  # files in the wild break the rules too
        for name, value in given.items():
            if value is not None:
                setattr(dataset, name, value)
    if pydicom.uid.UID(syntax).is_compressed and syntax != DeflatedExplicitVRLittleEndian:
        frame = encode_frame(stored, syntax=syntax, bits=int(given["BitsStored"])) if frame is None else frame
        dataset.PixelData = pydicom.encaps.encapsulate([frame])
        dataset["PixelData"].VR = "OB"
    else:
        width = 1 if given["BitsAllocated"] == 8 else 2
        pixels = stored.astype(f"<{stored.dtype.kind}{width}").tobytes() + b"\0" * (stored.size * width % 2)
        big = syntax == ExplicitVRBigEndian
        dataset.PixelData = np.frombuffer(pixels, "<u2").astype(">u2").tobytes() if big else pixels
        dataset["PixelData"].VR = "OW"
    buffer = BytesIO()
    with pydicom.config.disable_value_validation():
        pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def encode_frame(stored: NDArray[np.integer], *, syntax: str, bits: int) -> bytes:
    """The codestream of one gray frame in a compressed transfer syntax."""
    raw = (stored.astype(np.int32) & ((1 << bits) - 1)).astype(np.uint8 if bits <= 8 else np.uint16)
    return ENCODERS[syntax.removeprefix("1.2.840.10008.1.2.")](raw, bits)


def _encode_rle(raw: NDArray[np.unsignedinteger], bits: int) -> bytes:
    """Byte planes, the high one first, each as literal runs (PS3.5 G)."""
    planes = [(raw >> shift & 255).astype(np.uint8).tobytes() for shift in range(8 * (raw.itemsize - 1), -1, -8)]
    runs = [
        b"".join(bytes([len(part) - 1]) + part for at in range(0, len(plane), 128) for part in [plane[at : at + 128]])
        for plane in planes
    ]
    even = [run + b"\0" * (len(run) % 2) for run in runs]
    starts = [64 + sum(map(len, even[:number])) for number in range(len(even))]
    return b"".join(number.to_bytes(4, "little") for number in (len(even), *starts)).ljust(64, b"\0") + b"".join(even)


def _encode_jpeg2000(raw: NDArray[np.unsignedinteger], bits: int) -> bytes:
    return imagecodecs.jpeg2k_encode(raw, codecformat="j2k", reversible=True, bitspersample=bits)


def _encode_lossless(predictor: int) -> Callable[[NDArray[np.unsignedinteger], int], bytes]:
    return lambda raw, bits: imagecodecs.jpeg8_encode(raw, lossless=True, predictor=predictor, bitspersample=bits)


ENCODERS: dict[str, Callable[[NDArray[np.unsignedinteger], int], bytes]] = {
    "4.50": lambda raw, bits: imagecodecs.jpeg8_encode(raw, level=95),
    "4.51": lambda raw, bits: imagecodecs.jpeg8_encode(raw, level=95, bitspersample=bits),
    "4.57": _encode_lossless(6),
    "4.70": _encode_lossless(1),
    "4.80": lambda raw, bits: imagecodecs.jpegls_encode(raw),
    "4.81": lambda raw, bits: imagecodecs.jpegls_encode(raw, level=2),
    "4.90": _encode_jpeg2000,
    "4.91": lambda raw, bits: imagecodecs.jpeg2k_encode(
        raw, level=60, codecformat="j2k", reversible=False, bitspersample=bits
    ),
    "4.201": lambda raw, bits: imagecodecs.htj2k_encode(raw, reversible=True),
    "4.202": lambda raw, bits: imagecodecs.htj2k_encode(raw, reversible=True),
    "4.203": lambda raw, bits: imagecodecs.htj2k_encode(raw, level=0.0005, reversible=False),
    "5": _encode_rle,
}


def half_disc(rows: int, columns: int, *, value: int = 2000, right: bool = False) -> NDArray[np.uint16]:
    """A bright half disc against the left (or right) edge on dark air: the simplest breast."""
    y, x = np.mgrid[:rows, :columns]
    inside = (x / (0.6 * columns)) ** 2 + ((y - rows / 2) / (0.4 * rows)) ** 2 <= 1
    pixels = np.where(inside, value, 20).astype(np.uint16)
    return np.ascontiguousarray(pixels[:, ::-1]) if right else pixels


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV by column."""
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))
