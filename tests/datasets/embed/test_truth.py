"""EMBED's findings become facts of breasts; what is expected is worked out beside each table."""

from pathlib import Path

import pytest
from tests.datasets.embed.owner_tables import a_finding, truth_of

from tilebank.datasets.embed.truth import RULES
from tilebank.errors import DatasetError


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
