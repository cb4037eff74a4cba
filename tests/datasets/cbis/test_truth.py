"""CBIS-DDSM's tables become facts of breasts, in small and as their owner gives them."""

from pathlib import Path

import pandas as pd
import pytest
from tests.datasets.cbis.owner_tables import NAMES, TABLES, cbis_at, scan_nothing, touch

from tilebank.errors import DatasetError


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
