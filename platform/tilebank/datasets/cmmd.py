"""Read CMMD (Chinese Mammography Database): images from DICOM headers, facts about breasts from the clinical sheet.

Every patient has one study, so `exam_id` is the patient's ID1, which is also the DICOM's Patient ID. The side is in
Image Laterality and the view only in the View Code Sequence, so the manifest is made from headers. The sheet names
the breasts with a lesion; the other breast of a listed patient is an implied normal one. There are no boxes and no
owner's split.
"""

from collections.abc import Mapping, Sequence

from tilebank.datasets.contract import DatasetConfig, Manifest, Scan, ScannedImage, Truth
from tilebank.datasets.folder import drop_duplicates, id_from_path, placed_by_header, with_unique_ids
from tilebank.datasets.intake import assert_included
from tilebank.datasets.listing import failure_row, find_table, list_dicoms, uri_exists
from tilebank.datasets.tables import null_to_empty, read_table
from tilebank.errors import DatasetError, ImageError
from tilebank.files import join_uri
from tilebank.terms import FailureRow, Finding, Laterality, ManifestRow, breast_id_of

SHEET = "CMMD_clinicaldata_revision"
SHEETS = (f"{SHEET}.csv", "label.csv")
COLUMNS = ("ID1", "LeftRight", "Age", "abnormality", "classification", "subtype")
CANCER: Mapping[str, str] = {"benign": "0", "malignant": "1"}
# The sheet says of what sort the lesions are, not how many: a sort that is there counts once.
MASSES: Mapping[str, str] = {"mass": "1", "calcification": "0", "both": "1"}
CALCIFICATIONS: Mapping[str, str] = {"mass": "0", "calcification": "1", "both": "1"}

RULES: Mapping[str, str] = {
    "cancer": "classification Malignant -> 1, Benign -> 0; a breast that the sheet does not name -> 0",
    "masses": "abnormality mass or both -> 1, else 0: the sheet does not count them",
    "calcifications": "abnormality calcification or both -> 1, else 0: the sheet does not count them",
    "implied_normal": "1 for the breast of a listed patient that the sheet does not name, else 0",
    "subtype": "the sheet's molecular subtype of a cancer, where it was tested",
    "age": "the sheet's Age",
}


class Cmmd:
    """Adapter `cmmd`."""

    def __init__(self, config: DatasetConfig) -> None:
        self.config = config

    def read_manifest(self, scan: Scan) -> Manifest:
        """Every DICOM below the root, placed by its header; of copies the first that has a place is taken."""
        root = self.config.root
        found = sorted(scan(list_dicoms(root)), key=lambda row: row.uri)
        rows = [self._place(row) if isinstance(row, ScannedImage) else row for row in found]
        images, failures = drop_duplicates([row for row in rows if isinstance(row, ManifestRow)])
        failures += [row for row in rows if isinstance(row, FailureRow)]
        return Manifest(tuple(images), tuple(with_unique_ids(root, images, failures)))

    def read_truth(self) -> Truth:
        """Both breasts of every listed patient; a breast that the sheet does not name has `implied_normal` 1."""
        said: dict[str, dict[str, dict[str, str]]] = {}
        for row in read_table(self._sheet(), required=COLUMNS):
            sides = said.setdefault(row["ID1"], {})
            facts = _facts(row)
            if sides.setdefault(row["LeftRight"], facts) != facts:
                breast = f"{row['ID1']} {row['LeftRight']}"
                raise DatasetError(f"the sheet says two different things about breast {breast}; correct one row")
        return {
            breast_id_of(patient_id, side): sides.get(side.value) or _implied_normal(sides)
            for patient_id, sides in said.items()
            for side in Laterality
        }

    def read_findings(self) -> Sequence[Finding]:
        """None: the owner gives no boxes."""
        return ()

    def _sheet(self) -> str:
        root = self.config.root
        advice = f"put the clinical sheet there, as {SHEETS[0]}"
        if uri_exists(join_uri(root, f"{SHEET}.xlsx")):
            advice = f"convert the sheet: libreoffice --headless --convert-to csv --outdir {root} {root}/{SHEET}.xlsx"
        return find_table(root, SHEETS, advice=advice)

    def _place(self, found: ScannedImage) -> ManifestRow | FailureRow:
        header = found.header
        image_id = header.sop_instance_uid or id_from_path(self.config.root, found.uri)
        try:
            assert_included(header.kind, view=header.view, special=header.special, intake=self.config.intake)
            if not header.sop_instance_uid or not header.patient_id:
                reason = "the header has no SOP Instance UID or no Patient ID: download the file again"
                raise ImageError("identify", reason, "MissingId")
            return placed_by_header(found, dataset=self.config.name, exam_id=header.patient_id)
        except ImageError as error:
            return failure_row(image_id, found.uri, error)


def _facts(row: Mapping[str, str]) -> dict[str, str]:
    if not row["ID1"] or row["LeftRight"] not in ("L", "R"):
        raise DatasetError(f"the sheet has a row with ID1 {row['ID1']!r} and LeftRight {row['LeftRight']!r}; fix it")
    sort, found = row["abnormality"].lower(), row["classification"].lower()
    if sort not in MASSES or found not in CANCER:
        raise DatasetError(
            f"breast {row['ID1']} {row['LeftRight']}: abnormality is {row['abnormality']!r} (mass, calcification or"
            f" both), classification {row['classification']!r} (Benign or Malignant); correct the sheet"
        )
    return {
        "cancer": CANCER[found],
        "masses": MASSES[sort],
        "calcifications": CALCIFICATIONS[sort],
        "implied_normal": "0",
        "subtype": null_to_empty(row["subtype"]),
        "age": null_to_empty(row["Age"]),
    }


def _implied_normal(sides: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """The facts of the breast that the sheet does not name, beside the one that it does."""
    age = next(iter(sides.values()))["age"]
    nothing = {"cancer": "0", "masses": "0", "calcifications": "0"}
    return {**nothing, "implied_normal": "1", "subtype": "", "age": age}
