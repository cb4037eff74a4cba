"""Build the DICOM object of a phantom view: Digital Mammography X-Ray For Presentation (PS3.3 A.27, C.8.11).

Nothing is taken from the clock, and no name or birth date is invented.
"""

import numpy as np
from imagecodecs import jpeg2k_encode
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate

from tilebank.phantom.anatomy import VIEWS, View, grid_of
from tilebank.phantom.config import PhantomConfig
from tilebank.phantom.plan import PhantomBreast, PhantomExam
from tilebank.phantom.vendors import VENDORS, Vendor
from tilebank.phantom.view import PhantomView
from tilebank.terms import Laterality

_VIEW_CODES = {"CC": ("399162004", "cranio-caudal"), "MLO": ("399368009", "medio-lateral oblique")}
# Where rows and columns run to (PS3.3 C.7.6.1.1.1): a row of a left breast from the chest wall to the nipple.
_ORIENTATION = {
    (Laterality.L, "CC"): ["A", "R"],
    (Laterality.R, "CC"): ["P", "L"],
    (Laterality.L, "MLO"): ["A", "FR"],
    (Laterality.R, "MLO"): ["P", "FL"],
}


def describe_image(
    exam: PhantomExam,
    breast: PhantomBreast,
    view: View,
    *,
    rendered: PhantomView,
    config: PhantomConfig,
    compress: bool = True,
) -> Dataset:
    """The whole DICOM object of one view; `compress`: in JPEG 2000 where its vendor uses that, without loss."""
    vendor = VENDORS[exam.vendor]
    dataset = Dataset()
    _describe_exam(dataset, exam, vendor=vendor, seed=config.seed)
    _describe_view(dataset, breast.laterality, view)
    key = [str(config.seed), exam.exam_id, breast.laterality.value, view, str(config.rows), str(config.columns)]
    dataset.SOPInstanceUID = uid.generate_uid(entropy_srcs=["phantom image", *key])
    dataset.InstanceNumber = 1 + 2 * list(Laterality).index(breast.laterality) + VIEWS.index(view)
    dataset.ImagerPixelSpacing = [f"{grid_of(config.rows, config.columns).spacing_mm:.6f}"] * 2
    _describe_pixels(dataset, vendor)
    dataset.Rows, dataset.Columns = rendered.pixels.shape
    dataset.PixelData = rendered.pixels.astype("<u2").tobytes()
    dataset["PixelData"].VR = "OW"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    if compress and vendor.jpeg2000:
        _compress(dataset, rendered.pixels)
    return dataset


def _compress(dataset: Dataset, pixels: NDArray[np.unsignedinteger]) -> None:
    frame = jpeg2k_encode(
        pixels.astype(np.uint16), codecformat="j2k", reversible=True, bitspersample=dataset.BitsStored, numthreads=1
    )
    dataset.PixelData = encapsulate([bytes(frame)])
    dataset["PixelData"].VR = "OB"
    dataset.file_meta.TransferSyntaxUID = uid.JPEG2000Lossless


def _describe_exam(dataset: Dataset, exam: PhantomExam, *, vendor: Vendor, seed: int) -> None:
    dataset.PatientName, dataset.PatientBirthDate, dataset.PatientSex = "", "", "F"
    dataset.PatientID = exam.patient_id
    dataset.StudyInstanceUID = uid.generate_uid(entropy_srcs=["phantom study", str(seed), exam.exam_id])
    dataset.SeriesInstanceUID = uid.generate_uid(entropy_srcs=["phantom series", str(seed), exam.exam_id])
    dataset.StudyID, dataset.SeriesNumber = str(exam.exam_number), 1
    dataset.AccessionNumber = exam.exam_id
    dataset.StudyDate, dataset.StudyTime, dataset.ReferringPhysicianName = exam.study_date, "120000", ""
    dataset.Manufacturer, dataset.ManufacturerModelName = vendor.manufacturer, vendor.model


def _describe_view(dataset: Dataset, laterality: Laterality, view: View) -> None:
    dataset.SOPClassUID = uid.DigitalMammographyXRayImageStorageForPresentation
    dataset.Modality, dataset.PresentationIntentType = "MG", "FOR PRESENTATION"
    dataset.ImageType = ["DERIVED", "PRIMARY"]
    dataset.ImageLaterality, dataset.ViewPosition = laterality.value, view
    dataset.PatientOrientation = _ORIENTATION[laterality, view]
    dataset.OrganExposed, dataset.BodyPartExamined = "BREAST", "BREAST"
    dataset.PositionerType, dataset.DetectorType = "MAMMOGRAPHIC", "DIRECT"
    dataset.BreastImplantPresent = "NO"
    dataset.AnatomicRegionSequence = [_code("76752008", "Breast")]
    view_code = _code(*_VIEW_CODES[view])
    view_code.ViewModifierCodeSequence = []
    dataset.ViewCodeSequence = [view_code]
    dataset.AcquisitionContextSequence = []


def _describe_pixels(dataset: Dataset, vendor: Vendor) -> None:
    bright_high = vendor.photometric == "MONOCHROME2"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, vendor.photometric
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.PixelIntensityRelationship = "LOG"
    dataset.PixelIntensityRelationshipSign = -1 if bright_high else 1  # -1: higher values, fewer X-rays
    dataset.PresentationLUTShape = "IDENTITY" if bright_high else "INVERSE"
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = "0", "1", "US"
    centres, widths = zip(*vendor.stated_windows(), strict=True)
    dataset.WindowCenter, dataset.WindowWidth = list(centres), list(widths)
    dataset.WindowCenterWidthExplanation = list(vendor.explanations)
    if vendor.voi_function:
        dataset.VOILUTFunction = vendor.voi_function
    # A view marker does not say who was imaged and when, which is what this element asks (PS3.3 C.7.6.1).
    dataset.BurnedInAnnotation = "NO"
    dataset.LossyImageCompression = "00"


def _code(value: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "SCT", meaning
    return code
