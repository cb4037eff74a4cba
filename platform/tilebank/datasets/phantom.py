"""The phantom study as its writer left it: its own tables of images and truths. Knows nothing of how it is made."""

from collections.abc import Sequence

from tilebank.datasets.study import Breast, DatasetConfig, Manifest, Scan, Truth
from tilebank.datasets.tables import read_table
from tilebank.errors import DatasetError
from tilebank.files import exists, join_uri
from tilebank.terms import Laterality, ManifestRow

IMAGE_COLUMNS = ("image_id", "patient_id", "exam_id", "breast_id", "laterality", "view", "file", "manufacturer")


class Phantom:
    """Adapter `phantom`."""

    def __init__(self, config: DatasetConfig) -> None:
        self.config = config

    def read_manifest(self, scan: Scan) -> Manifest:  # noqa: ARG002 - the contract's scan is not needed: a table says it
        """The images that images.csv names."""
        root = self.config.root
        try:
            stands = exists(join_uri(root, "phantom.json"))
        except OSError as error:
            raise DatasetError(f"cannot look at {root}: {error}; check --root") from error
        if not stands:
            raise DatasetError(f"no phantom study at {root}; write one with: python jobs/make_phantom.py")
        rows = read_table(join_uri(root, "images.csv"), required=IMAGE_COLUMNS)
        return Manifest(images=tuple(self._image(row) for row in rows), failures=())

    def read_truth(self, breasts: Sequence[Breast]) -> Truth:  # noqa: ARG002 - the table is small and read whole
        """BI-RADS, density and counts of findings from breasts.csv."""
        rows = read_table(join_uri(self.config.root, "breasts.csv"), required=("breast_id", "birads"))
        return {row["breast_id"]: row for row in rows}

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
        )
