"""Read CBIS-DDSM: digitised film, one bag for each breast that has a lesion.

- A full mammogram is one series of one file. The file is found below the root, in this order: by a folder that is
  named (or whose name ends) with the series UID; by the folder of the case, `Mass-Training_P_00001_LEFT_CC`, and if it
  holds several files, by the last five digits of the series UID, with which TCIA's downloader ends a series folder;
  and in any other layout by the Study Instance UID in the headers, as the UIDs of full mammograms are not those of
  crops and masks. So crops and masks, which the tables swap in places, are never taken for a mammogram.
- The tables know no study of several views: `exam_id` is the patient's.
- A film with masses and calcifications is in both collections, as two series (71 films): two images of one breast.
- The owner splits masses and calcifications apart, so that 31 patients stand in both parts. All of theirs is `test`:
  the owner's test images all stay test images, as published figures have them, and no patient is seen in training.
- Boxes would have to be measured in the pixels of the masks: there are none in the tables, and so no findings.
"""

import logging
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from tilebank.datasets.cbis.tables import ASSESSMENTS, PATHOLOGIES, ImagePath, LesionRow, read_lesions
from tilebank.datasets.contract import DatasetConfig, Manifest, Scan, ScannedImage, Truth
from tilebank.datasets.listing import included_or_failure, list_dicoms
from tilebank.errors import DatasetError
from tilebank.files import join_uri
from tilebank.terms import FailureRow, Finding, ImageKind, ManifestRow, breast_id_of

logger = logging.getLogger(__name__)

RULES: Mapping[str, str] = {
    "cancer": "any lesion of the breast with pathology MALIGNANT -> 1, else 0; no breast of the study is normal",
    "pathology": "the worst of the breast's lesions: MALIGNANT, BENIGN (biopsied), BENIGN_WITHOUT_CALLBACK",
    "birads": "the worst assessment of the breast's lesions: 5, 4, 0 (incomplete), 3, 2, 1",
    "density": "1 to 4 -> A to D; 0 is no density",
    "masses": "different abnormality ids in the tables of masses, both views together",
    "calcifications": "different abnormality ids in the tables of calcifications, both views together",
    "split": "test for a patient in any of the owner's test tables, else train",
}
UID_AT_END = re.compile(r"\d+(?:\.\d+){5,}$")


class Cbis:
    """Adapter `cbis`."""

    def __init__(self, config: DatasetConfig) -> None:
        self.config = config

    def read_manifest(self, scan: Scan) -> Manifest:
        """The full mammograms in the tables; one whose file is missing or ambiguous is a failure."""
        lesions = read_lesions(self.config.root)
        named: dict[ImagePath, LesionRow] = {}
        for lesion in lesions:
            first = named.setdefault(lesion.image, lesion)
            if (_breast_of(first), first.view) != (_breast_of(lesion), lesion.view):
                raise DatasetError(f"{lesion.image.case} is given to two breasts or views; download the tables again")
        found = self._find_files(lesions, named, scan=scan)
        rows = [self._place(path, lesion, uris=found[path]) for path, lesion in named.items()]
        if not any(found.values()):
            raise DatasetError(
                f"{self.config.root} holds none of the {len(named)} mammograms in the tables; check --root"
            )
        images = tuple(row for row in rows if isinstance(row, ManifestRow))
        return Manifest(images, tuple(row for row in rows if isinstance(row, FailureRow)))

    def read_truth(self) -> Truth:
        """The facts of the tables by breast: the worst of its lesions, and how many there are of each sort."""
        lesions = read_lesions(self.config.root)
        by_breast: dict[str, list[LesionRow]] = defaultdict(list)
        for lesion in lesions:
            by_breast[_breast_of(lesion)].append(lesion)
        tested = {lesion.patient_id for lesion in lesions if lesion.part == "test"}
        mixed = tested & {lesion.patient_id for lesion in lesions if lesion.part == "train"}
        if mixed:
            logger.info("%d patients are in the owner's train and test parts; all of theirs is test", len(mixed))
        return {
            breast_id: _facts(rows, split="test" if rows[0].patient_id in tested else "train", breast_id=breast_id)
            for breast_id, rows in by_breast.items()
        }

    def read_findings(self) -> Sequence[Finding]:
        """None: the tables refer to masks and have no boxes."""
        return ()

    def _find_files(
        self, lesions: Sequence[LesionRow], paths: Iterable[ImagePath], *, scan: Scan
    ) -> dict[ImagePath, list[str]]:
        """The files that each mammogram may be: by folder names, then the rest by their headers."""
        uris = list_dicoms(self.config.root)
        folders = {uri: uri.removeprefix(self.config.root).split("/")[:-1] for uri in uris}
        found = _by_folders(folders, paths)
        missing = {path.study_uid: path for path, candidates in found.items() if not candidates}
        known = {case for lesion in lesions for case in (lesion.image.case, *lesion.lesion_cases)}
        taken = {uri for candidates in found.values() for uri in candidates}
        spare = [uri for uri in uris if uri not in taken and known.isdisjoint(folders[uri])]
        if missing and spare:
            for image in scan(spare):
                if isinstance(image, ScannedImage) and image.header.study_uid in missing:
                    found[missing[image.header.study_uid]].append(image.uri)
        return found

    def _place(self, path: ImagePath, lesion: LesionRow, *, uris: Sequence[str]) -> ManifestRow | FailureRow:
        if len(uris) != 1:
            return self._unplaced(path, uris)
        row = ManifestRow(
            dataset=self.config.name,
            patient_id=lesion.patient_id,
            exam_id=lesion.patient_id,
            breast_id=_breast_of(lesion),
            image_id=path.series_uid,
            laterality=lesion.laterality,
            view=lesion.view,
            uri=uris[0],
            image_kind=ImageKind.FILM,
        )
        return included_or_failure(row, self.config.intake)

    def _unplaced(self, path: ImagePath, uris: Sequence[str]) -> FailureRow:
        expected = join_uri(self.config.root, path.case, path.study_uid, path.series_uid, path.file)
        if not uris:
            reason = "no file below the root lies in a folder of this mammogram's case or series: download it"
            return FailureRow(path.series_uid, expected, "read", "MissingFile", reason)
        reason = f"{len(uris)} files below the root may be this mammogram: keep the one of its series"
        return FailureRow(path.series_uid, expected, "identify", "AmbiguousFile", reason)


def _by_folders(folders: Mapping[str, Sequence[str]], paths: Iterable[ImagePath]) -> dict[ImagePath, list[str]]:
    """For each mammogram the files whose folders name it."""
    by_name: dict[str, list[str]] = defaultdict(list)
    for uri, names in folders.items():
        ends = (UID_AT_END.search(name) for name in names)
        for name in {*names, *(end.group() for end in ends if end)}:
            by_name[name].append(uri)
    found = {}
    for path in paths:
        candidates = by_name.get(path.series_uid) or by_name.get(path.case, [])
        if len(candidates) > 1:
            tail = f"-{path.series_uid[-5:]}"
            candidates = [uri for uri in candidates if folders[uri][-1].endswith(tail)] or candidates
        found[path] = list(candidates)
    return found


def _breast_of(lesion: LesionRow) -> str:
    return breast_id_of(lesion.patient_id, lesion.laterality)


def _facts(rows: Sequence[LesionRow], *, split: str, breast_id: str) -> dict[str, str]:
    densities = {row.density for row in rows} - {""}
    if len(densities) > 1:
        both = " and ".join(sorted(densities))
        raise DatasetError(f"breast {breast_id} has the densities {both} in the tables; correct one of them")
    pathology = max((row.pathology for row in rows), key=PATHOLOGIES.index)
    return {
        "cancer": str(int(pathology == "MALIGNANT")),
        "pathology": pathology,
        "birads": max((row.assessment for row in rows), key=ASSESSMENTS.index),
        "density": densities.pop() if densities else "",
        "masses": str(len({row.number for row in rows if row.sort == "mass"})),
        "calcifications": str(len({row.number for row in rows if row.sort == "calc"})),
        "split": split,
    }
