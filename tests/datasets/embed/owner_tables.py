"""Small replicas of EMBED's two tables, with the owner's columns and quirks."""

import csv
from pathlib import Path

from tilebank.datasets.contract import DatasetConfig, Truth
from tilebank.datasets.embed.adapter import Embed
from tilebank.datasets.embed.clinical import COLUMNS
from tilebank.datasets.intake import IntakeConfig

MOUNT = "/mnt/NAS2/mammo/anon_dicom/cohort_1"
BUCKET = "s3://embed-dataset-open/images/cohort_2"
EXAM = "9007199254740993"  # 2^53 + 1: a float makes 9007199254740992 of it


def adapter(root: Path, intake: IntakeConfig | None = None) -> Embed:
    return Embed(
        DatasetConfig(
            name="embed",
            adapter="embed",
            root=str(root),
            licence="research use",
            redistributable=False,
            intake=intake or IntakeConfig(),
        )
    )


def write(path: Path, rows: list[dict[str, str]]) -> None:
    """A table with the columns of its first row."""
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_metadata(root: Path, *rows: dict[str, str]) -> None:
    write(root / "tables" / "EMBED_OpenData_metadata.csv", list(rows))


def write_clinical(root: Path, *rows: dict[str, str]) -> None:
    write(root / "tables" / "EMBED_OpenData_clinical.csv", list(rows))


def an_image(name: str, **cells: str) -> dict[str, str]:
    usual = {
        "": "0",  # the owner's index column
        "empi_anon": "66685715",
        "acc_anon": EXAM,
        "Manufacturer": "HOLOGIC, Inc.",
        "Rows": "3328",
        "Columns": "2560",
        "FinalImageType": "2D",
        "ImageLateralityFinal": "L",
        "ViewPosition": "CC",
        "spot_mag": "",
        "num_roi": "0.0",
        "ROI_coords": "()",
        "match_level": "[]",
        "anon_dicom_path": f"{MOUNT}/66685715/1.2.3/1.2.4/{name}.dcm",
    }
    return usual | cells


def a_finding(exam: str, **cells: str) -> dict[str, str]:
    usual = dict.fromkeys(COLUMNS, "") | {
        "empi_anon": "66685715",
        "acc_anon": exam,
        "study_date_anon": "2015-01-10",
        "desc": "MG Screening Bilateral",
        "tissueden": "2.0",
        "asses": "N",
        "numfind": "1",
        "age_at_study": "52.031185",
        "calcnumber": "0",
        "GENDER_DESC": "Female",
    }
    return usual | cells


def truth_of(root: Path, *rows: dict[str, str]) -> Truth:
    write_clinical(root, *rows)
    return adapter(root).read_truth()


def no_scan(uris: object) -> list[object]:
    raise AssertionError("the tables say all; no header is to be read")
