"""CBIS-DDSM: mammograms and breasts from the owner's four tables; replicas of downloads, and the real tables."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from tests.headers import HEADER

from tilebank.datasets.cbis import Cbis
from tilebank.datasets.intake import IntakeConfig
from tilebank.datasets.study import DatasetConfig, Manifest, ScannedImage
from tilebank.errors import DatasetError
from tilebank.terms import FailureRow, ImageHeader, ImageKind, Laterality

TABLES = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "tables"
NAMES = [f"{sort}_case_description_{part}_set.csv" for sort in ("mass", "calc") for part in ("train", "test")]
UID = "1.3.6.1.4.1.9590.100.1.2."


def uid(digits: int) -> str:
    return f"{UID}4221127222131896498076114346122289{digits:05d}"


def row_of(case: str, number: int, *, study: int, assessment: str, pathology: str, density: str = "3") -> str:
    """One line of a table, with the line break that the owner's last path ends in."""
    collection, rest = case.split("_", 1)
    patient, side, view = rest.rsplit("_", 2)
    sort = "mass" if collection.startswith("Mass") else "calcification"
    lesion = f"{case}_{number}/{uid(study + 1)}/{uid(study + 2)}"
    full = f"{case}/{uid(study)}/{uid(study + 50_000)}/000000.dcm"
    return (
        f"{patient},{density},{side},{view},{number},{sort},OVAL,NA,{assessment},{pathology},4,{full},"
        f'{lesion}/000000.dcm,"{lesion}/000001.dcm\n"\n'
    )


def header_line(sort: str) -> str:
    density = "breast_density" if sort == "mass" else "breast density"
    sorts = "mass shape,mass margins" if sort == "mass" else "calc type,calc distribution"
    return (
        f"patient_id,{density},left or right breast,image view,abnormality id,abnormality type,{sorts},assessment,"
        "pathology,subtlety,image file path,cropped image file path,ROI mask file path\n"
    )


# P_1: left breast in two views with two masses, one of them in CC alone; the right one has a calcification in MLO.
# P_2: a mass in the train part, and a calcification of the same film in the test part.
MASS_TRAIN = [
    row_of("Mass-Training_P_1_LEFT_CC", 1, study=10, assessment="3", pathology="BENIGN"),
    row_of("Mass-Training_P_1_LEFT_CC", 2, study=10, assessment="0", pathology="BENIGN_WITHOUT_CALLBACK"),
    row_of("Mass-Training_P_1_LEFT_MLO", 1, study=20, assessment="3", pathology="BENIGN"),
    row_of("Mass-Training_P_2_RIGHT_CC", 1, study=30, assessment="4", pathology="MALIGNANT", density="0"),
]
MASS_TEST = [row_of("Mass-Test_P_3_LEFT_CC", 1, study=40, assessment="2", pathology="BENIGN_WITHOUT_CALLBACK")]
CALC_TRAIN = [row_of("Calc-Training_P_1_RIGHT_MLO", 1, study=50, assessment="5", pathology="MALIGNANT")]
CALC_TEST = [row_of("Calc-Test_P_2_RIGHT_CC", 1, study=60, assessment="2", pathology="BENIGN", density="2")]
PARTS = dict(zip(NAMES, (MASS_TRAIN, MASS_TEST, CALC_TRAIN, CALC_TEST), strict=True))
# case folder, last five digits of study and series: the six mammograms of the tables
MAMMOGRAMS = {
    "Mass-Training_P_1_LEFT_CC": 10,
    "Mass-Training_P_1_LEFT_MLO": 20,
    "Mass-Training_P_2_RIGHT_CC": 30,
    "Mass-Test_P_3_LEFT_CC": 40,
    "Calc-Training_P_1_RIGHT_MLO": 50,
    "Calc-Test_P_2_RIGHT_CC": 60,
}


def cbis_at(root: Path, *, intake: IntakeConfig | None = None, prefix: str = "") -> Cbis:
    for name, rows in PARTS.items():
        (root / f"{prefix}{name}").write_text(header_line(name[:4]) + "".join(rows))
    config = DatasetConfig(
        name="cbis",
        adapter="cbis",
        root=str(root),
        licence="x",
        redistributable=True,
        intake=intake or IntakeConfig(kinds=("film",)),
    )
    return Cbis(config)


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def scan_nothing(uris: Sequence[str]) -> Iterable[ScannedImage]:
    raise AssertionError("folders name all images: no header is read")


def tcia_file(case: str, study: int, *, series: int | None = None, what: str = "full mammogram images") -> str:
    number = study + 50_000 if series is None else series
    return f"CBIS-DDSM/{case}/07-20-2016-DDSM-NA-{study:05d}/1.000000-{what}-{number:05d}/1-1.dcm"


def touch_all_as_tcia(root: Path) -> None:
    touch(root, *(tcia_file(case, study) for case, study in MAMMOGRAMS.items()))
    for case, study in MAMMOGRAMS.items():
        touch(root, tcia_file(f"{case}_1", study + 1, series=study + 2, what="cropped images"))


@pytest.fixture
def film_header() -> ImageHeader:
    """What a file of CBIS-DDSM says: a Secondary Capture that names neither side nor view."""
    return replace(
        HEADER,
        sop_instance_uid="1.1",
        patient_id="Mass-Test_P_3_LEFT_CC",
        study_uid="",
        accession_number="",
        laterality="",
        laterality_from="",
        view="",
        view_from="",
        kind=ImageKind.FILM,
        sop_class="1.2.840.10008.5.1.4.1.1.7",
        manufacturer="",
        rows=4616,
        columns=3016,
        bits_stored=16,
        high_bit=15,
        intensity="none",
        windows=0,
    )


def places_of(manifest: Manifest, root: Path) -> dict[str, str]:
    return {str(Path(row.uri).relative_to(root)): row.breast_id for row in manifest.images}


def test_each_mammogram_is_found_once_in_the_folders_of_tcia(tmp_path: Path) -> None:
    touch_all_as_tcia(tmp_path)
    manifest = cbis_at(tmp_path).read_manifest(scan_nothing)
    assert places_of(manifest, tmp_path) == {
        tcia_file("Mass-Training_P_1_LEFT_CC", 10): "P_1_L",
        tcia_file("Mass-Training_P_1_LEFT_MLO", 20): "P_1_L",
        tcia_file("Mass-Training_P_2_RIGHT_CC", 30): "P_2_R",
        tcia_file("Mass-Test_P_3_LEFT_CC", 40): "P_3_L",
        tcia_file("Calc-Training_P_1_RIGHT_MLO", 50): "P_1_R",
        tcia_file("Calc-Test_P_2_RIGHT_CC", 60): "P_2_R",  # the same film in the other collection: another image
    }
    assert manifest.failures == ()
    first = manifest.images[0]
    assert (first.image_id, first.patient_id, first.exam_id) == (uid(50_010), "P_1", "P_1")
    assert (first.laterality, first.view, first.image_kind) == (Laterality.L, "CC", ImageKind.FILM)


@pytest.mark.parametrize("folder", ["{case}/{study}/{series}/000000.dcm", "cbis_ddsm/x/{study}/MG_{series}/7f3a.dcm"])
def test_a_folder_named_by_the_series_is_found_in_any_layout(tmp_path: Path, folder: str) -> None:
    names = [
        folder.format(case=case, study=uid(study), series=uid(study + 50_000)) for case, study in MAMMOGRAMS.items()
    ]
    touch(tmp_path, *names)
    assert set(places_of(cbis_at(tmp_path).read_manifest(scan_nothing), tmp_path)) == set(names)


def test_of_several_files_in_a_case_the_series_tells_the_mammogram(tmp_path: Path) -> None:
    touch_all_as_tcia(tmp_path)
    touch(tmp_path, tcia_file("Mass-Test_P_3_LEFT_CC", 41, series=42, what="ROI mask images"))
    places = places_of(cbis_at(tmp_path).read_manifest(scan_nothing), tmp_path)
    assert tcia_file("Mass-Test_P_3_LEFT_CC", 40) in places
    assert tcia_file("Mass-Test_P_3_LEFT_CC", 41, series=42, what="ROI mask images") not in places


def test_files_without_telling_folders_are_found_by_the_study_in_their_headers(
    tmp_path: Path, film_header: ImageHeader
) -> None:
    touch_all_as_tcia(tmp_path)
    moved = tmp_path / tcia_file("Mass-Test_P_3_LEFT_CC", 40)
    moved.rename(tmp_path / "loose.dcm")
    touch(tmp_path, "other.dcm", "broken.dcm")
    scanned: list[str] = []

    def scan(uris: Sequence[str]) -> Iterable[ScannedImage | FailureRow]:
        scanned.extend(Path(uri).name for uri in uris)
        yield ScannedImage(f"{tmp_path}/other.dcm", replace(film_header, study_uid=uid(41)))
        yield ScannedImage(f"{tmp_path}/loose.dcm", replace(film_header, study_uid=uid(40)))
        yield FailureRow("file-1", f"{tmp_path}/broken.dcm", "read", "NotDicom", "not DICOM")

    places = places_of(cbis_at(tmp_path).read_manifest(scan), tmp_path)
    assert places["loose.dcm"] == "P_3_L"
    assert len(places) == 6
    assert sorted(scanned) == ["broken.dcm", "loose.dcm", "other.dcm"]  # known crops and masks are left alone


def test_a_mammogram_without_its_file_or_with_two_is_a_failure_and_the_rest_go_on(tmp_path: Path) -> None:
    touch_all_as_tcia(tmp_path)
    (tmp_path / tcia_file("Mass-Test_P_3_LEFT_CC", 40)).unlink()
    touch(tmp_path, tcia_file("Calc-Test_P_2_RIGHT_CC", 60).replace("1-1.dcm", "1-2.dcm"))
    manifest = cbis_at(tmp_path).read_manifest(scan_nothing)
    failures = {row.image_id: (row.stage, row.error_class) for row in manifest.failures}
    assert failures == {uid(50_040): ("read", "MissingFile"), uid(50_060): ("identify", "AmbiguousFile")}
    assert not [row.reason for row in manifest.failures if "P_2" in row.reason or "P_3" in row.reason]  # no patient
    assert len(manifest.images) == 4


def test_film_is_filtered_when_it_is_not_asked_for(tmp_path: Path) -> None:
    touch_all_as_tcia(tmp_path)
    manifest = cbis_at(tmp_path, intake=IntakeConfig()).read_manifest(scan_nothing)
    assert manifest.images == ()
    assert {(row.stage, row.error_class) for row in manifest.failures} == {("filter", "film")}


def test_a_breast_has_the_worst_of_its_lesions_and_counts_each_once(tmp_path: Path) -> None:
    cbis = cbis_at(tmp_path, prefix="cbis_")
    truth = cbis.read_truth()
    assert sorted(truth) == ["P_1_L", "P_1_R", "P_2_R", "P_3_L"]
    assert truth["P_1_L"] == {
        "cancer": "0",
        "pathology": "BENIGN",
        "birads": "0",  # incomplete outranks 3
        "density": "C",
        "masses": "2",  # three rows, but one of the two masses is seen in both views
        "calcifications": "0",
        "split": "train",
    }
    assert (truth["P_1_R"]["masses"], truth["P_1_R"]["calcifications"], truth["P_1_R"]["cancer"]) == ("0", "1", "1")
    assert truth["P_2_R"]["density"] == "B"  # 0 is no density, and does not contradict
    assert (truth["P_2_R"]["birads"], truth["P_2_R"]["pathology"]) == ("4", "MALIGNANT")
    assert list(cbis.read_findings()) == []


def test_a_patient_in_both_parts_is_of_the_test_part(tmp_path: Path) -> None:
    truth = cbis_at(tmp_path).read_truth()
    assert {breast: facts["split"] for breast, facts in truth.items()} == {
        "P_1_L": "train",
        "P_1_R": "train",
        "P_2_R": "test",
        "P_3_L": "test",
    }


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("LEFT,CC,1", "BOTH,CC,1", "patient P_3: left or right breast is 'BOTH', not one of LEFT, RIGHT"),
        ("4,Mass-Test", "4,/Mass-Test", "image file path is .*, not <case>/<study UID>"),
        (",2,BENIGN_WITHOUT_CALLBACK", ",9,BENIGN_WITHOUT_CALLBACK", "assessment is '9'"),
        ("BENIGN_WITHOUT_CALLBACK", "UNKNOWN", "pathology is 'UNKNOWN'"),
        ("P_3,3,", "P_3,7,", "breast density is '7'"),
        ("breast_density", "density", "no column breast_density or breast density"),
        ("assessment", "birads", "no column assessment"),
    ],
)
def test_a_table_that_cannot_be_read_says_where(tmp_path: Path, old: str, new: str, message: str) -> None:
    cbis = cbis_at(tmp_path)
    table = tmp_path / "mass_case_description_test_set.csv"
    table.write_text(table.read_text().replace(old, new, 1))
    with pytest.raises(DatasetError, match=message):
        cbis.read_truth()


def test_tables_that_contradict_each_other_name_the_breast_or_the_image(tmp_path: Path) -> None:
    cbis = cbis_at(tmp_path)
    table = tmp_path / "mass_case_description_train_set.csv"
    whole = table.read_text()
    table.write_text(whole.replace("P_1,3,LEFT,MLO", "P_1,4,LEFT,MLO"))
    with pytest.raises(DatasetError, match="breast P_1_L has the densities C and D"):
        cbis.read_truth()
    table.write_text(whole.replace("P_1,3,LEFT,CC,2", "P_1,3,RIGHT,CC,2"))
    with pytest.raises(DatasetError, match="Mass-Training_P_1_LEFT_CC is given to two breasts"):
        cbis.read_manifest(scan_nothing)


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    cbis = cbis_at(tmp_path)
    with pytest.raises(DatasetError, match="no file \\*\\.dcm below"):
        cbis.read_manifest(scan_nothing)
    touch(tmp_path, "Mass-Training_P_9_LEFT_CC/x/1-1.dcm")
    with pytest.raises(DatasetError, match="holds none of the 6 mammograms in the tables"):
        cbis.read_manifest(lambda uris: [])
    (tmp_path / NAMES[3]).unlink()
    with pytest.raises(DatasetError, match="no table calc_case_description_test_set.csv or cbis_calc"):
        cbis.read_truth()


def test_the_real_tables_give_every_mammogram_its_breast_and_label(tmp_path: Path) -> None:
    if not (TABLES / f"cbis_{NAMES[0]}").is_file():
        pytest.skip("the tables of CBIS-DDSM (../shared/data/tables) are not on this machine")
    cbis = cbis_at(tmp_path)
    frames = []
    for name in NAMES:
        (tmp_path / name).write_bytes((TABLES / f"cbis_{name}").read_bytes())
        frame = pd.read_csv(TABLES / f"cbis_{name}", dtype=str).rename(columns={"breast_density": "breast density"})
        frames.append(frame.assign(part=name.split("_")[3], sort=name[:4]))
    rows = pd.concat(frames)
    rows["breast"] = rows["patient_id"] + "_" + rows["left or right breast"].str[0]
    films = rows.drop_duplicates("image file path")
    for path in films["image file path"]:  # as TCIA's downloader names folders
        case, study, series, _ = path.split("/")
        touch(tmp_path, f"CBIS-DDSM/{case}/x-DDSM-NA-{study[-5:]}/1.000000-full mammogram images-{series[-5:]}/1-1.dcm")
    manifest, truth = cbis.read_manifest(scan_nothing), cbis.read_truth()

    # 3,568 rows; 3,103 distinct image paths (1,460 CC); 1,566 patients with 1,708 breasts, 761 of them with a lesion
    # that is malignant. 318 patients are in test tables alone, 31 in both, 1,217 in train tables alone.
    assert (len(rows), len(films)) == (3568, 3103)
    assert (len(manifest.images), len(manifest.failures)) == (3103, 0)
    assert sum(row.view == "CC" for row in manifest.images) == 1460
    case_of = {Path(row.uri).parts[-4]: row.breast_id for row in manifest.images}
    assert case_of == dict(zip(films["image file path"].str.split("/").str[0], films["breast"], strict=True))
    assert {row.breast_id for row in manifest.images} == truth.keys() == set(rows["breast"])
    assert len(truth) == 1708
    malignant = rows[rows["pathology"] == "MALIGNANT"]["breast"].unique()
    assert len(malignant) == 761
    assert {breast for breast, facts in truth.items() if facts["cancer"] == "1"} == set(malignant)
    for sort, fact in (("mass", "masses"), ("calc", "calcifications")):
        counts = rows[rows["sort"] == sort].groupby("breast")["abnormality id"].nunique().to_dict()
        assert {breast: int(facts[fact]) for breast, facts in truth.items() if facts[fact] != "0"} == counts
    tested = set(rows[rows["part"] == "test"]["patient_id"])
    both = tested & set(rows[rows["part"] == "train"]["patient_id"])
    assert (len(tested), len(both), rows["patient_id"].nunique()) == (349, 31, 1566)
    split_of = {row.patient_id: truth[row.breast_id]["split"] for row in manifest.images}
    assert {patient for patient, split in split_of.items() if split == "test"} == tested
    assert sum(split == "train" for split in split_of.values()) == 1217
    assert (
        sum(facts["density"] == "" for facts in truth.values())
        == rows[rows.groupby("breast")["breast density"].transform("max") == "0"]["breast"].nunique()
    )
