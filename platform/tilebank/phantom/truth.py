"""Write the truth tables of a phantom study: their records and their CSV."""

import csv
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from io import StringIO

from tilebank.phantom.plan import PhantomExam
from tilebank.terms import breast_id_of


@dataclass(frozen=True)
class ImageTruth:
    """One row of images.csv; `file` is relative to the root of the study."""

    image_id: str
    patient_id: str
    exam_id: str
    breast_id: str
    laterality: str
    view: str
    file: str
    rows: int
    columns: int
    manufacturer: str
    photometric: str
    transfer_syntax: str


@dataclass(frozen=True)
class FindingTruth:
    """One row of findings.csv: a finding in one image, its box in stored pixels."""

    image_id: str
    breast_id: str
    kind: str
    malignant: int
    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class BreastTruth:
    """One row of breasts.csv; `masses` and `calcifications` count benign and malignant findings together."""

    breast_id: str
    patient_id: str
    exam_id: str
    laterality: str
    birads: int
    density: str
    masses: int
    calcifications: int
    malignant_masses: int
    malignant_calcifications: int


@dataclass(frozen=True)
class WrittenImage:
    """One image that was written, with its findings."""

    image: ImageTruth
    findings: tuple[FindingTruth, ...]


def breast_truths(exam: PhantomExam) -> list[BreastTruth]:
    """Both breasts of an exam."""
    rows = []
    for breast in exam.breasts:
        kinds = [finding.kind for finding in breast.findings]
        malignant = [finding.kind for finding in breast.findings if finding.malignant]
        row = BreastTruth(
            breast_id=breast_id_of(exam.exam_id, breast.laterality),
            patient_id=exam.patient_id,
            exam_id=exam.exam_id,
            laterality=breast.laterality.value,
            birads=breast.birads,
            density=exam.density,
            masses=kinds.count("mass"),
            calcifications=kinds.count("calcification"),
            malignant_masses=malignant.count("mass"),
            malignant_calcifications=malignant.count("calcification"),
        )
        rows.append(row)
    return rows


def truth_tables(exams: Sequence[PhantomExam], images: Sequence[WrittenImage]) -> dict[str, bytes]:
    """File name to content: images.csv, breasts.csv, findings.csv, in the order given."""
    return {
        "images.csv": _csv(ImageTruth, [written.image for written in images]),
        "breasts.csv": _csv(BreastTruth, [row for exam in exams for row in breast_truths(exam)]),
        "findings.csv": _csv(FindingTruth, [finding for written in images for finding in written.findings]),
    }


def _csv(
    record: type[ImageTruth] | type[BreastTruth] | type[FindingTruth],
    rows: Sequence[ImageTruth | BreastTruth | FindingTruth],
) -> bytes:
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in fields(record)])
    writer.writerows([astuple(row) for row in rows])
    return text.getvalue().encode()
