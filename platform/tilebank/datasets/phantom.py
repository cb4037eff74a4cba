"""Read the phantom study: images, facts about breasts and lesions from its own CSV tables."""

from collections.abc import Sequence

from tilebank.datasets.contract import DatasetConfig, Manifest, Scan, Truth
from tilebank.datasets.listing import included_or_failure, uri_exists
from tilebank.datasets.tables import read_table
from tilebank.errors import DatasetError
from tilebank.files import join_uri
from tilebank.terms import FailureRow, Finding, Laterality, ManifestRow, TileBox

IMAGE_COLUMNS = ("image_id", "patient_id", "exam_id", "breast_id", "laterality", "view", "file", "manufacturer")
BREAST_COLUMNS = ("breast_id", "birads", "density", "masses", "calcifications")
BOX_COLUMNS = ("x", "y", "width", "height")


class Phantom:
    """Adapter `phantom`."""

    def __init__(self, config: DatasetConfig) -> None:
        self.config = config

    def read_manifest(self, scan: Scan) -> Manifest:  # noqa: ARG002 - the contract's scan is not needed: a table says it
        """The images that images.csv names."""
        root = self.config.root
        if not uri_exists(join_uri(root, "phantom.json")):
            raise DatasetError(f"no phantom study at {root}; write one with: tilebank phantom")
        table = read_table(join_uri(root, "images.csv"), required=IMAGE_COLUMNS)
        rows = [included_or_failure(self._image(row), self.config.intake) for row in table]
        return Manifest(
            images=tuple(row for row in rows if isinstance(row, ManifestRow)),
            failures=tuple(row for row in rows if isinstance(row, FailureRow)),
        )

    def read_truth(self) -> Truth:
        """BI-RADS, density and counts of findings from breasts.csv."""
        rows = read_table(join_uri(self.config.root, "breasts.csv"), required=BREAST_COLUMNS)
        return {row["breast_id"]: row for row in rows}

    def read_findings(self) -> Sequence[Finding]:
        """The drawn lesions of findings.csv, one an image that shows it, boxes in source pixels."""
        uri = join_uri(self.config.root, "findings.csv")
        rows = read_table(uri, required=("image_id", "kind", *BOX_COLUMNS))
        return [_finding(row, uri=uri) for row in rows]

    def _image(self, row: dict[str, str]) -> ManifestRow:
        return ManifestRow(
            dataset=self.config.name,
            patient_id=row["patient_id"],
            exam_id=row["exam_id"],
            breast_id=row["breast_id"],
            image_id=row["image_id"],
            laterality=Laterality(row["laterality"]),
            view=row["view"],
            uri=join_uri(self.config.root, row["file"]),
            manufacturer=row["manufacturer"],
            sop_instance_uid=row["image_id"],
        )


def _finding(row: dict[str, str], *, uri: str) -> Finding:
    try:
        x, y, width, height = (int(row[name]) for name in BOX_COLUMNS)
    except ValueError as error:
        raise DatasetError(
            f"{uri}: the box of a finding is not whole numbers ({error}); write the study again"
        ) from error
    return Finding(row["image_id"], (row["kind"],), TileBox(x, y, width, height))
