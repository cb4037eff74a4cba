"""The EMBED adapter on small replicas of the owner's two tables, quirks included; counts are worked out beside them."""

import csv
import logging
from collections import Counter
from pathlib import Path

import pytest

from tilebank.datasets.embed import Embed
from tilebank.datasets.embed_clinical import COLUMNS
from tilebank.datasets.embed_findings import parse_regions
from tilebank.datasets.embed_truth import RULES
from tilebank.datasets.intake import IntakeConfig
from tilebank.datasets.study import DatasetConfig, Truth
from tilebank.datasets.tables import exact_id, read_table
from tilebank.errors import DatasetError
from tilebank.terms import Finding, ImageKind, TileBox

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


def test_paths_lose_the_owners_prefix_and_ids_stay_exact(tmp_path: Path) -> None:
    write_metadata(
        tmp_path,
        an_image("1.2.826.1"),
        an_image("1.2.826.2", anon_dicom_path="./images/cohort_1/66685715/1.2.3/1.2.4/1.2.826.2.dcm"),
        an_image("1.2.826.3", anon_dicom_path=f"{BUCKET}/7/1.2.3/1.2.4/1.2.826.3.dcm", ImageLateralityFinal="R"),
        an_image("1.2.826.4", empi_anon="66685715.0"),  # a patient who went through pandas
    )
    manifest = adapter(tmp_path).read_manifest(no_scan)
    below = [row.uri.removeprefix(f"{tmp_path}/images/") for row in manifest.images]
    assert below == [
        "cohort_1/66685715/1.2.3/1.2.4/1.2.826.1.dcm",
        "cohort_1/66685715/1.2.3/1.2.4/1.2.826.2.dcm",
        "cohort_2/7/1.2.3/1.2.4/1.2.826.3.dcm",
        "cohort_1/66685715/1.2.3/1.2.4/1.2.826.4.dcm",
    ]
    assert [row.image_id for row in manifest.images] == ["1.2.826.1", "1.2.826.2", "1.2.826.3", "1.2.826.4"]
    assert [row.breast_id for row in manifest.images] == [f"{EXAM}_L", f"{EXAM}_L", f"{EXAM}_R", f"{EXAM}_L"]
    assert {row.patient_id for row in manifest.images} == {"66685715"}
    assert manifest.images[0].manufacturer == "HOLOGIC, Inc."
    assert manifest.failures == ()


def test_kinds_special_views_and_blanks_are_filtered_or_refused_by_name(tmp_path: Path) -> None:
    write_metadata(
        tmp_path,
        an_image("a"),
        an_image("b", FinalImageType="cview"),
        an_image("c", FinalImageType="C-view"),
        an_image("d", FinalImageType="3D"),
        an_image("e", FinalImageType="ROI_SSC"),
        an_image("f", spot_mag="1.0"),
        an_image("g", spot_mag="0"),
        an_image("h", ViewPosition="XCCL"),
        an_image("i", ImageLateralityFinal=""),
        an_image("j", ImageLateralityFinal="nan"),
        an_image("k", ViewPosition="NaN"),
        an_image("l", acc_anon=""),
        an_image("m", anon_dicom_path="somewhere/else.dcm"),
        an_image("a"),
        an_image("n", FinalImageType="ULTRASOUND"),
    )
    manifest = adapter(tmp_path).read_manifest(no_scan)
    assert [row.image_id for row in manifest.images] == ["a", "g"]
    assert {row.image_id: (row.stage, row.error_class) for row in manifest.failures} == {
        "b": ("filter", "synthetic"),
        "c": ("filter", "synthetic"),
        "d": ("filter", "tomosynthesis"),
        "e": ("filter", "screensave"),
        "f": ("filter", "spot"),
        "h": ("filter", "view-XCCL"),
        "i": ("identify", "SideMissing"),
        "j": ("identify", "SideMissing"),
        "k": ("identify", "ViewMissing"),
        "l": ("identify", "MissingExam"),
        "line-14": ("identify", "MissingPath"),
        "line-15": ("identify", "DuplicateImage"),  # not under the id of the image that is kept
        "n": ("identify", "KindUnknown"),
    }
    wide = IntakeConfig(kinds=("ffdm", "synthetic"), views=(), special=("spot",))
    more = {row.image_id: row for row in adapter(tmp_path, wide).read_manifest(no_scan).images}
    assert sorted(more) == ["a", "b", "c", "f", "g", "h"]
    assert (more["b"].image_kind, more["f"].special) == (ImageKind.SYNTHETIC, ("spot",))


@pytest.mark.parametrize("spoilt", ["9.00719925474099E+15", "9007199254740992.0", "12.5", "1e5"])
def test_an_id_that_may_have_lost_digits_stops_the_reading(tmp_path: Path, spoilt: str) -> None:
    write_metadata(tmp_path, an_image("a", acc_anon=spoilt))
    with pytest.raises(DatasetError, match="acc_anon .* floating-point .* take the owner's own table"):
        adapter(tmp_path).read_manifest(no_scan)
    with pytest.raises(DatasetError, match="floating-point"):
        truth_of(tmp_path, a_finding(spoilt))


def test_whole_numbers_of_up_to_15_digits_are_mended(tmp_path: Path) -> None:
    assert exact_id("123456789012345.0", column="acc_anon", uri="t") == "123456789012345"
    assert exact_id("9007199254740993", column="acc_anon", uri="t") == "9007199254740993"
    assert exact_id("A-12.0", column="acc_anon", uri="t") == "A-12.0", "what is no number was never a float"


def test_findings_join_by_side_and_the_other_breast_is_an_implied_negative(tmp_path: Path) -> None:
    # exam ...1: a row without a side is both breasts (L, R).               2 breasts
    # exam ...2: L has one finding in two rows (two specimens), R has none:  2 breasts, R implied
    # exam ...3: side B is both.                                            2 breasts
    # exam ...4: a left exam speaks of the left breast alone.               1 breast
    # exam ...5: a blank side is both breasts for a finding too.            2 breasts
    truth = truth_of(
        tmp_path,
        a_finding("9007199254740991"),
        a_finding("9007199254740992", side="L", asses="A", massshape="X", massmargin="I"),
        a_finding("9007199254740992", side="L", asses="A", massshape="X", massmargin="I"),
        a_finding("9007199254740993", side="B", asses="B", calcdistri="D", numfind="1.0"),
        a_finding("9007199254740994", side="L", asses="S", massshape="O", desc="MG Diagnostic Left w/CAD"),
        a_finding("9007199254740995", side="NaN", asses="B", massshape="N"),
    )
    birads = {breast_id: (facts["birads"], facts["masses"]) for breast_id, facts in truth.items()}
    assert birads == {
        "9007199254740991_L": ("1", "0"),
        "9007199254740991_R": ("1", "0"),
        "9007199254740992_L": ("0", "1"),  # one finding, though two rows
        "9007199254740992_R": ("1", "0"),
        "9007199254740993_L": ("2", "0"),
        "9007199254740993_R": ("2", "0"),
        "9007199254740994_L": ("4", "1"),
        "9007199254740995_L": ("2", "1"),
        "9007199254740995_R": ("2", "1"),
    }
    assert truth["9007199254740993_R"]["calcifications"] == "1"
    assert truth["9007199254740992_R"]["cancer"] == "0"
    assert "cancer" not in truth["9007199254740992_L"], "A without pathology says nothing"
    assert truth["9007199254740991_L"]["age"] == "52"


def test_worst_assessment_follows_the_exams_own_order(tmp_path: Path) -> None:
    diagnostic = {"desc": "MG Diagnostic Bilateral w/ CAD", "side": "L"}
    truth = truth_of(
        tmp_path,
        a_finding("1", side="L", asses="B"),
        a_finding("1", side="L", asses="A", numfind="2"),
        a_finding("2", asses="B", **diagnostic),
        a_finding("2", asses="P", numfind="2", **diagnostic),
        a_finding("3", asses="M", **diagnostic),
        a_finding("3", asses="K", numfind="2", **diagnostic),
        a_finding("4", asses="X", **diagnostic),
        a_finding("5", side="L", asses="P"),  # P has no place in a screening exam: the whole exam is left out
        a_finding("6", asses="N", **diagnostic),
        a_finding("6", asses="A", numfind="2", **diagnostic),
    )
    birads = {breast_id: facts.get("birads", "") for breast_id, facts in truth.items()}
    lefts = {breast_id: category for breast_id, category in birads.items() if breast_id.endswith("L")}
    assert lefts == {"1_L": "0", "2_L": "3", "3_L": "6", "4_L": "", "5_L": "", "6_L": "0"}
    assert (birads["5_R"], birads["1_R"]) == ("", "1")
    assert "cancer" not in truth["5_R"]
    assert truth["4_R"]["cancer"] == "0"


def test_codes_are_counted_by_sort_and_zeros_are_no_calcifications(tmp_path: Path) -> None:
    # masses: G, Y, and a margin without a shape = 3; asymmetries: F = 1; distortions: Q = 1;
    # calcifications: type 9, number 3.0, and the one with the Q = 3; the N row counts nowhere
    side = {"side": "R", "asses": "A"}
    truth = truth_of(
        tmp_path,
        a_finding("1", numfind="1", massshape="G", calcfind="nan", calcnumber="0.0", **side),
        a_finding("1", numfind="2", massshape="Y", **side),
        a_finding("1", numfind="3", massmargin="S", massdens="=", **side),
        a_finding("1", numfind="4", massshape="F", massmargin="I", **side),
        a_finding("1", numfind="5", massshape="Q", calcdistri="G", **side),
        a_finding("1", numfind="6", calcfind="9", **side),
        a_finding("1", numfind="7", calcnumber="3.0", **side),
        a_finding("1", numfind="8", side="R", asses="N", massshape="O", calcfind="P"),
    )
    counts = ("masses", "calcifications", "asymmetries", "distortions")
    assert [truth["1_R"][name] for name in counts] == ["3", "3", "1", "1"]
    assert [truth["1_L"][name] for name in counts] == ["0", "0", "0", "0"]


def test_cancer_is_the_lowest_severity_on_the_side_of_the_specimen(tmp_path: Path) -> None:
    left = {"side": "L", "asses": "A"}
    truth = truth_of(
        tmp_path,
        a_finding("1", empi_anon="1", path_severity="4.0", bside="L", **left),
        a_finding("1", empi_anon="1", path_severity="1.0", bside="L", **left),
        a_finding("2", empi_anon="2", path_severity="2", bside="R", **left),  # the specimen is of the other breast
        a_finding("3", empi_anon="3", path_severity="6", bside="L", **left),
        a_finding("4", empi_anon="4", path_severity="0", side="B", asses="A"),  # whose, the table does not say
        a_finding("5", empi_anon="5", path_severity="0", **left),  # no bside: the finding's own side
        a_finding("6", empi_anon="6", path_severity="5", bside="B", asses="N"),  # addended: N with pathology is A
        a_finding("7", empi_anon="7", path_severity="4", asses="N"),  # of one breast or the other: no label
    )
    cancer = {breast_id: facts.get("cancer", "") for breast_id, facts in truth.items()}
    assert cancer == {
        **{"1_L": "1", "1_R": "0"},
        **{"2_L": "", "2_R": "0"},
        **{"3_L": "", "3_R": "0"},
        **{"4_L": "", "4_R": ""},
        **{"5_L": "1", "5_R": "0"},
        **{"6_L": "0", "6_R": "0"},
        **{"7_L": "", "7_R": ""},
    }
    assert truth["2_R"]["birads"] == truth["6_L"]["birads"] == "0"
    assert truth["1_R"]["birads"] == "1"


def test_years_run_to_the_patients_cancer_and_last_exam(tmp_path: Path) -> None:
    # cancer of 1: report 2016-06-01, the earlier date. From 2014-05-25, 738 days: 2 years; from 2015-06-03, 364: 0.
    # last exam of 1: 2018-06-01. From 2014-05-25, 1468 days: 4 years; 2015-06-03, 1094: 2; 2016-05-20, 742: 2.
    # 2 has no cancer; from 2014-03-01 to 2015-03-01 it is 365 days: 1 year.
    # cancer of 3: recorded on an exam ten days after the biopsy. It is on that exam.
    # cancer of 4: without dates, so as of its exam, 184 days after the first.
    cancer = {"procdate_anon": "2016-06-03", "pdate_anon": "2016-06-01 00:00:00", "bside": "L", "path_severity": "0.0"}
    biopsied = {"procdate_anon": "2017-01-10", "path_severity": "1", "bside": "R"}
    truth = truth_of(
        tmp_path,
        a_finding("1", study_date_anon="2014-05-25", empi_anon="1"),
        a_finding("2", study_date_anon="2015-06-03", empi_anon="1"),
        a_finding("3", study_date_anon="2016-05-20", empi_anon="1", side="L", asses="A", **cancer),
        a_finding("4", study_date_anon="2018-06-01", empi_anon="1"),
        a_finding("5", study_date_anon="2014-03-01", empi_anon="2"),
        a_finding("6", study_date_anon="2015-03-01", empi_anon="2"),
        a_finding("7", study_date_anon="2017-01-20", empi_anon="3", side="R", asses="A", **biopsied),
        a_finding("8", study_date_anon="2014-03-01", empi_anon="4"),
        a_finding("9", study_date_anon="2014-09-01", empi_anon="4", side="L", asses="A", path_severity="1"),
    )
    years = {
        breast_id: (facts.get("years_to_cancer", ""), facts.get("years_to_last_followup", ""), facts.get("cancer", ""))
        for breast_id, facts in truth.items()
    }
    assert years == {
        **{"1_L": ("2", "4", "0"), "1_R": ("2", "4", "0")},
        **{"2_L": ("0", "2", ""), "2_R": ("0", "2", "0")},  # an interval cancer of the left breast: no label
        **{"3_L": ("0", "2", "1"), "3_R": ("0", "2", "0")},
        **{"4_L": ("", "", "0"), "4_R": ("", "", "0")},  # after the cancer the patient is no longer at risk
        **{"5_L": ("100", "1", "0"), "5_R": ("100", "1", "0")},
        **{"6_L": ("100", "0", "0"), "6_R": ("100", "0", "0")},
        **{"7_L": ("0", "0", "0"), "7_R": ("0", "0", "1")},
        **{"8_L": ("0", "0", ""), "8_R": ("0", "0", "0")},
        **{"9_L": ("0", "0", "1"), "9_R": ("0", "0", "0")},
    }
    assert "201" not in str(truth), "dates stay in the adapter"


def test_density_is_of_the_exam_and_male_exams_carry_no_labels(tmp_path: Path) -> None:
    truth = truth_of(
        tmp_path,
        a_finding("1", side="L", asses="A", tissueden="4.0"),
        a_finding("2", tissueden="5"),
        a_finding("3", side="L", tissueden="2"),
        a_finding("3", side="R", tissueden="3"),
        a_finding("4", tissueden=""),
    )
    density = {breast_id: facts.get("density", "") for breast_id, facts in truth.items() if breast_id.endswith("R")}
    assert density == {"1_R": "D", "2_R": "", "3_R": "", "4_R": ""}
    assert truth["2_L"] == {"exam_kind": "screening", "age": "52", "normal_male": "1"}
    assert {name for facts in truth.values() for name in facts} <= RULES.keys(), "every fact has its rule"


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"acc_anon": ""}, "line 2: acc_anon is empty"),
        ({"side": "X"}, "line 2: side 'X' is not L, R, B or empty"),
        ({"path_severity": "7"}, "line 2: path_severity '7' is not a code"),
        ({"tissueden": "dense"}, "line 2: tissueden 'dense' is not a code"),
        ({"study_date_anon": "13/01/2015"}, "line 2: study_date_anon is not a date"),
        ({"age_at_study": "old"}, "line 2: age_at_study is not an age"),
    ],
)
def test_a_clinical_cell_that_cannot_be_read_is_named(tmp_path: Path, cells: dict[str, str], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        truth_of(tmp_path, a_finding("1", **cells))


def test_an_exam_of_two_patients_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"1 exams belong to two patients each: \['1'\]"):
        truth_of(tmp_path, a_finding("1"), a_finding("1", empi_anon="8"))


def test_an_assessment_that_the_legend_lacks_is_none_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    truth = truth_of(tmp_path, a_finding("1", asses="Z"), a_finding("2", asses="Z"), a_finding("3"))
    assert "birads" not in truth["1_L"]
    assert truth["3_L"]["birads"] == "1"
    assert "{'Z': 2}" in caplog.text


def test_regions_become_boxes_in_the_owners_order(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one, two = "((1365, 272, 1610, 508),)", "(([1224, 172, 1457, 559],), ([1798, 972, 2108, 1300],))"
    write_metadata(
        tmp_path,
        an_image("none"),
        an_image("one", ROI_coords=one, num_roi="1.0", match_level="[1]"),
        an_image("two", ROI_coords=two, num_roi="2", match_level="[['1'], ['2']]", FinalImageType="cview"),
        an_image("past", ROI_coords="((3300, -4, 3400, 100),)", num_roi="1.0", match_level="[2]"),
        an_image("tiny", ROI_coords="((10, 10, 60, 2600),)", num_roi="1", match_level="[1]", Columns="", Rows=""),
        an_image("open", ROI_coords="((1365, 272, 1610, 508)", num_roi="1", match_level="[1]"),
        an_image("words", ROI_coords="((1365, 272, 1610),)", num_roi="1", match_level="[1]"),
        an_image("empty", ROI_coords="((1610, 272, 1365, 508),)", num_roi="1", match_level="[1]"),
        an_image("loose", ROI_coords=one, num_roi="2.0", match_level=""),
        an_image("wide", ROI_coords="((0, 2500, 9, 2600),)", num_roi="1", match_level="1"),
        an_image("saved", ROI_coords=one, num_roi="1", match_level="[1]", FinalImageType="ROI_SS"),
    )
    with caplog.at_level(logging.WARNING):
        findings = adapter(tmp_path).read_findings()
    assert list(findings) == [
        Finding("one", (), TileBox(x=272, y=1365, width=236, height=245)),
        Finding("two", (), TileBox(x=172, y=1224, width=387, height=233)),
        Finding("two", (), TileBox(x=972, y=1798, width=328, height=310), note="transferred"),
        Finding("past", (), TileBox(x=0, y=3300, width=100, height=28), note="transferred, clipped"),
        Finding("tiny", (), TileBox(x=10, y=10, width=2590, height=50)),  # no size in the table: nothing to clip by
        Finding("loose", (), TileBox(x=272, y=1365, width=236, height=245), note="match level unknown"),
        Finding("wide", (), TileBox(x=2500, y=0, width=60, height=9), note="clipped"),
    ]
    assert len(caplog.records) == 1, "one line says all"
    for said in (
        "2 cells left out",
        "1 regions left out",
        "2 regions clipped",
        "1 regions without a match level",
        "1 cells that hold another number of regions",
    ):
        assert said in caplog.text


@pytest.mark.parametrize("text", ["1365, 272", "((1, 2, 3, x),)", "__import__('os')", "((1, 2, 3),)", "((1, 2, 3, 4)"])
def test_text_that_is_no_list_of_regions_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no list of regions"):
        parse_regions(text)


def test_images_and_facts_meet_in_the_same_breasts(tmp_path: Path) -> None:
    # two exams: the first bilateral (4 images), the second a right diagnostic (1 image): 3 breasts with images
    write_metadata(
        tmp_path,
        *(
            an_image(f"{side}{view}", ImageLateralityFinal=side, ViewPosition=view)
            for side in "LR"
            for view in ("CC", "MLO")
        ),
        an_image("d", acc_anon="9007199254740995", ImageLateralityFinal="R"),
    )
    write_clinical(
        tmp_path,
        a_finding(EXAM, side="L", asses="A", numfind="1"),
        a_finding(EXAM, side="L", asses="A", numfind="2"),  # two findings do not double the images
        a_finding("9007199254740995", side="R", asses="B", desc="MG Diagnostic Right w/CAD"),
    )
    dataset = adapter(tmp_path)
    images = dataset.read_manifest(no_scan).images
    assert Counter(row.breast_id for row in images) == {f"{EXAM}_L": 2, f"{EXAM}_R": 2, "9007199254740995_R": 1}
    assert {row.breast_id for row in images} == dataset.read_truth().keys()


def test_a_missing_table_or_column_is_named(tmp_path: Path) -> None:
    dataset = adapter(tmp_path)
    for read in (lambda: dataset.read_manifest(no_scan), dataset.read_truth, dataset.read_findings):
        with pytest.raises(DatasetError, match="cannot read the table .*EMBED_OpenData_"):
            read()
    image = an_image("a")
    del image["ViewPosition"]
    write_metadata(tmp_path, image)
    with pytest.raises(DatasetError, match="has no column ViewPosition; it has"):
        dataset.read_manifest(no_scan)
    finding = a_finding("1")
    del finding["asses"]
    write_clinical(tmp_path, finding)
    with pytest.raises(DatasetError, match="has no column asses"):
        dataset.read_truth()
    (tmp_path / "tables" / "EMBED_OpenData_metadata.csv").write_text(",".join(an_image("a")) + "\n")
    with pytest.raises(DatasetError, match="names no image"):
        dataset.read_manifest(no_scan)


def test_asked_columns_alone_are_read_and_lacking_ones_are_empty(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("\ufeffa,b,c\n1, x ,\n\n2,y,z\n", encoding="utf-8")
    assert read_table(str(path), required=("c",), columns=("b", "d")) == [
        {"c": "", "b": "x", "d": ""},
        {"c": "z", "b": "y", "d": ""},
    ]
    assert read_table(str(path), required=("a",))[1] == {"a": "2", "b": "y", "c": "z"}
    path.write_text("a,b\n1,2,3\n", encoding="utf-8")
    with pytest.raises(DatasetError, match="line 2 has another number of cells"):
        read_table(str(path), required=("a",), columns=())
    path.write_bytes("a,b\n1,\xe9\n".encode("latin-1"))
    with pytest.raises(DatasetError, match="cannot read the table"):
        read_table(str(path), required=("a",))
