"""Read the CSV of a dataset of imported features: the owner of each slide and the facts about it.

A bag is a slide, or a patient with all of its slides (`dataset.bag`). The CSV has a row a slide: `slide_id`, then
`patient_id` or `case_id`, `exam_id`, and facts. Without a patient column each slide counts as a patient of its own.
"""

from collections.abc import Mapping, Sequence

from tilebank.datasets.contract import DatasetConfig, Manifest, Scan, Truth
from tilebank.datasets.tables import null_to_empty, read_table
from tilebank.errors import DatasetError, ImageError
from tilebank.terms import Finding, SlideOwner

SLIDE = ("slide_id", "slide", "wsi", "filename")  # what other tools call it, in small letters
PATIENT = ("patient_id", "case_id", "patient", "case")
SLIDE_SUFFIXES = (
    *(".svs", ".tif", ".tiff", ".ndpi", ".mrxs", ".scn", ".czi", ".vms", ".vmu", ".bif", ".qptiff", ".isyntax", ".dcm"),
    *(".h5", ".npy", ".pt"),
)


class Features:
    """Adapter `features`."""

    def __init__(self, config: DatasetConfig) -> None:
        self.config = config

    def read_manifest(self, scan: Scan) -> Manifest:  # noqa: ARG002 (the contract's: there is nothing to scan)
        """Raises DatasetError: there are no images to read, only imported vectors."""
        raise DatasetError(
            f"dataset {self.config.name!r} has no images, only features made by another tool; import them with:"
            f" tilebank exchange import --dataset {self.config.name}"
        )

    def read_truth(self) -> Truth:
        """The facts of each bag. Where the slides of a patient differ in one, it is `0 and 1`, which no task takes."""
        if not self.config.labels:
            raise DatasetError(
                f"dataset {self.config.name!r} has no labels; give a CSV with the columns slide_id, patient_id and"
                " label (0 or 1) as --set dataset.labels=PATH"
            )
        said: dict[str, dict[str, set[str]]] = {}
        for slide_id, row in self._rows().items():
            facts = said.setdefault(self._owner(slide_id, row).breast_id, {})
            for name in row.keys() - {*SLIDE, *PATIENT, "exam_id"}:
                facts.setdefault(name, set()).update({row[name]} - {""})
        return {
            breast_id: {name: " and ".join(sorted(texts)) for name, texts in facts.items()}
            for breast_id, facts in said.items()
        }

    def read_findings(self) -> Sequence[Finding]:
        """None: no boxes are known."""
        return ()

    def find_owner(self, slide_id: str, owners: Mapping[str, SlideOwner]) -> SlideOwner:
        """Whose a slide is, `owners` being those of the CSV. Raises ImageError (stage `identify`) for one not in it."""
        if slide_id in owners:
            return owners[slide_id]
        if owners:
            reason = f"{self.config.labels} has no row for the slide, so its patient is not known; add a row"
            raise ImageError("identify", reason, "MissingPatient")
        return self._owner(slide_id, {})

    def read_owners(self) -> dict[str, SlideOwner]:
        """slide_id -> owner, for the slides of the CSV; empty without a CSV or without a patient column in it."""
        rows = self._rows() if self.config.labels else {}
        if not any(name in row for row in rows.values() for name in PATIENT):
            if self.config.bag == "patient":
                raise DatasetError(
                    f"dataset {self.config.name!r} has one bag per patient, and no table names the patients; give a CSV"
                    " with the columns slide_id and patient_id with --labels"
                )
            return {}
        return {slide_id: self._owner(slide_id, row) for slide_id, row in rows.items()}

    def _owner(self, slide_id: str, row: Mapping[str, str]) -> SlideOwner:
        patient_id = next((row[name] for name in PATIENT if name in row), slide_id)
        if not patient_id:
            raise DatasetError(f"{self.config.labels}: slide {slide_id} names no patient; fill the cell")
        if self.config.bag == "patient":
            return SlideOwner(patient_id, patient_id, patient_id)
        return SlideOwner(patient_id, row.get("exam_id") or slide_id, slide_id)

    def _rows(self) -> dict[str, dict[str, str]]:
        """slide_id -> its row, names of columns in small letters."""
        rows: dict[str, dict[str, str]] = {}
        for cells in read_table(self.config.labels, required=()):
            row = {name.strip().lower(): null_to_empty(text) for name, text in cells.items()}
            name = next((name for name in SLIDE if row.get(name)), None)
            if name is None:
                raise DatasetError(
                    f"{self.config.labels}: a row names no slide; give the column slide_id (it has {', '.join(row)})"
                )
            slide_id = _without_suffix(row[name])
            if rows.setdefault(slide_id, row) != row:
                raise DatasetError(f"{self.config.labels} says two different things about slide {slide_id}; correct it")
        return rows


def _without_suffix(name: str) -> str:
    """A slide's id out of the name of its file: folders and the suffix go, dots within stay."""
    bare = name.rsplit("/", 1)[-1]
    return next((bare[: -len(end)] for end in SLIDE_SUFFIXES if bare.lower().endswith(end)), bare)
