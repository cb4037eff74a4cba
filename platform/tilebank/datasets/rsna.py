"""Read RSNA Screening Mammography 2022: `train.csv` lists the images and the facts about their breasts.

The tables know a patient but no study: every patient has one screening exam, so `exam_id` is the patient's. An
`image_id` is the owner's number and not the DICOM's own UID. `test.csv` and `test_images`, where they lie there, add
images without labels. The owner's test set has no public labels, so the owner states no split; there are no boxes.
The table gives the views, CC, MLO and others; the image kind is known only when a file is read.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from tilebank.datasets.contract import DatasetConfig, Manifest, Scan, Truth
from tilebank.datasets.listing import included_or_failure, uri_exists
from tilebank.datasets.tables import exact_id, null_to_empty, read_table
from tilebank.errors import DatasetError
from tilebank.files import join_uri
from tilebank.terms import FailureRow, Finding, Laterality, ManifestRow, breast_id_of

IMAGE_COLUMNS = ("patient_id", "image_id", "laterality", "view")
# fact -> the owner's column. Labels are constant in a breast; the others may differ between its images.
LABELS: Mapping[str, str] = {
    "cancer": "cancer",
    "birads": "BIRADS",
    "density": "density",
    "biopsy": "biopsy",
    "invasive": "invasive",
    "difficult_negative": "difficult_negative_case",
}
CIRCUMSTANCES: Mapping[str, str] = {
    "implant": "implant",
    "age": "age",
    "site_id": "site_id",
    "machine_id": "machine_id",
}
YES_NO: Mapping[str, str] = {"": "", "0": "0", "1": "1", "false": "0", "true": "1"}
# What a cell may be, and the fact that it makes. Categories come as floats ("0.0"), as pandas writes them.
READINGS: Mapping[str, Mapping[str, str]] = {
    "cancer": YES_NO,
    "birads": {"": "", **{text: number for number in "0123456" for text in (number, f"{number}.0")}},
    "density": {"": "", "a": "A", "b": "B", "c": "C", "d": "D"},
    "biopsy": YES_NO,
    "invasive": YES_NO,
    "difficult_negative": YES_NO,
    "implant": YES_NO,
}

RULES: Mapping[str, str] = {
    "cancer": "the owner's 0 or 1 for the breast, 1 proven by biopsy",
    "birads": "the owner's 0, 1 or 2 of the screening; missing in half of the rows, and nothing but 0 at site 2",
    "density": "A to D; missing for all of site 2",
    "difficult_negative": "1 for a breast without cancer that was hard to read",
    "site_id": "to be looked at beside any result: what is missing tells the site",
}


class Rsna:
    """Adapter `rsna`."""

    def __init__(self, config: DatasetConfig) -> None:
        self.config = config

    def read_manifest(self, scan: Scan) -> Manifest:  # noqa: ARG002 - the contract's scan is not needed: a table says it
        """The images of train.csv and, if it is there, of test.csv."""
        images: dict[str, ManifestRow] = {}
        for part in self._parts():
            folder = join_uri(self.config.root, f"{part}_images")
            uri = join_uri(self.config.root, f"{part}.csv")
            for row in read_table(uri, required=IMAGE_COLUMNS):
                image = self._image(_with_exact_ids(row, uri=uri), folder=folder)
                if image.image_id in images:
                    raise DatasetError(f"{uri} names the image {image.image_id} twice; download the table again")
                images[image.image_id] = image
        asked = [included_or_failure(image, self.config.intake) for image in images.values()]
        failures = [row for row in asked if isinstance(row, FailureRow)]
        return Manifest(tuple(row for row in asked if isinstance(row, ManifestRow)), tuple(failures))

    def read_truth(self) -> Truth:
        """The facts of train.csv by breast.

        A missing cell is silent. Raises DatasetError where two rows of a breast give two values of a label; a
        circumstance (age, machine, ...) that differs between a breast's images is left out.
        """
        uri = join_uri(self.config.root, "train.csv")
        columns = {**LABELS, **CIRCUMSTANCES}
        rows = read_table(uri, required=(*IMAGE_COLUMNS, *columns.values()))
        said: dict[str, dict[str, set[str]]] = defaultdict(lambda: {fact: set() for fact in columns})
        for raw in rows:
            row = _with_exact_ids(raw, uri=uri)
            facts = said[_breast_of(row)]
            for fact, column in columns.items():
                facts[fact].add(_reading(fact, null_to_empty(row[column]), column=column, row=row))
        return {
            breast_id: {fact: _agreed(fact, values - {""}, breast_id=breast_id) for fact, values in facts.items()}
            for breast_id, facts in said.items()
        }

    def read_findings(self) -> Sequence[Finding]:
        """None: the owner gives no boxes."""
        return ()

    def _parts(self) -> list[str]:
        """`train`, and `test` where both its table and its images stand."""
        root = self.config.root
        if not uri_exists(join_uri(root, "train_images")):
            raise DatasetError(f"no folder train_images in {root}; unpack it there, beside train.csv, or check --root")
        has_test = uri_exists(join_uri(root, "test.csv")) and uri_exists(join_uri(root, "test_images"))
        return ["train", "test"] if has_test else ["train"]

    def _image(self, row: Mapping[str, str], *, folder: str) -> ManifestRow:
        breast_id = _breast_of(row)
        return ManifestRow(
            dataset=self.config.name,
            patient_id=row["patient_id"],
            exam_id=row["patient_id"],
            breast_id=breast_id,
            image_id=row["image_id"],
            laterality=Laterality(row["laterality"]),
            view=row["view"].upper(),
            uri=join_uri(folder, row["patient_id"], f"{row['image_id']}.dcm"),
        )


def _with_exact_ids(row: Mapping[str, str], *, uri: str) -> dict[str, str]:
    ids = {name: exact_id(row[name], column=name, uri=uri) for name in ("patient_id", "image_id")}
    for name, text in ids.items():
        if not text.isdecimal():
            raise DatasetError(f"{uri}: {name} is {text!r}, not a whole number; download the table again")
    return {**row, **ids}


def _breast_of(row: Mapping[str, str]) -> str:
    if row["laterality"] not in ("L", "R"):
        raise DatasetError(
            f"image {row['image_id']}: laterality is {row['laterality']!r}, not L or R; correct the table"
        )
    return breast_id_of(row["patient_id"], Laterality(row["laterality"]))


def _reading(fact: str, cell: str, *, column: str, row: Mapping[str, str]) -> str:
    known = READINGS.get(fact)
    if known is None:
        return cell
    if cell.lower() not in known:
        raise DatasetError(
            f"image {row['image_id']}: {column} is {cell!r}, which the owner's table never holds; download it again"
        )
    return known[cell.lower()]


def _agreed(fact: str, values: set[str], *, breast_id: str) -> str:
    if len(values) > 1 and fact in LABELS:
        both = " and ".join(sorted(values))
        raise DatasetError(f"breast {breast_id}: {LABELS[fact]} is {both} in two rows of train.csv; correct the table")
    return values.pop() if len(values) == 1 else ""
