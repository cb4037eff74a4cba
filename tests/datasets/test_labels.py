"""Label rules by hand."""

from dataclasses import dataclass

import pytest

from tilebank.datasets.labels import TASKS, label_breasts
from tilebank.errors import ConfigError, DatasetError


@dataclass(frozen=True)
class Named:
    """The least that names a breast."""

    patient_id: str
    exam_id: str
    breast_id: str


def breast(name: str) -> Named:
    return Named(f"P{name}", f"E{name}", f"E{name}_L")


def test_malignancy_is_birads_1_against_4_5_6() -> None:
    truth = {f"E{birads}_L": {"birads": birads} for birads in "0123456"} | {"E7_L": {"birads": ""}}
    rows = label_breasts("malignancy", [breast(name) for name in "012345678"], truth=truth, dataset="d")
    assert {row.exam_id: row.label for row in rows} == {"E1": 0, "E4": 1, "E5": 1, "E6": 1}
    assert rows[1].stratum == "4"
    assert "4, 5, 6 -> 1" in rows[0].rule


def test_a_breast_of_several_images_gets_one_label_with_its_own_ids() -> None:
    truth = {"E1_L": {"birads": "5"}}
    (row,) = label_breasts("malignancy", [breast("1"), breast("1"), breast("2")], truth=truth, dataset="d")
    assert (row.dataset, row.task, row.patient_id, row.exam_id, row.breast_id) == (
        "d",
        "malignancy",
        "P1",
        "E1",
        "E1_L",
    )


@pytest.mark.parametrize(
    ("text", "category"), [("4a", "4"), ("4C", "4"), ("4.0", "4"), ("BI-RADS 5", "5"), (" 1 ", "1")]
)
def test_birads_are_read_as_they_are_written(text: str, category: str) -> None:
    (row,) = label_breasts("malignancy", [breast("1")], truth={"E1_L": {"birads": text}}, dataset="d")
    assert (row.label, row.stratum) == (int(category != "1"), category)


@pytest.mark.parametrize(
    ("text", "label"),
    [("A", 0), ("b", 1), ("DENSITY C", 2), ("Density D", 3), ("1", 0), ("4", 3), ("2.0", 1), (" 3 ", 2)],
)
def test_density_has_four_classes_read_as_they_are_written(text: str, label: int) -> None:
    (row,) = label_breasts("density", [breast("1")], truth={"E1_L": {"density": text}}, dataset="d")
    assert (row.label, row.stratum) == (label, str(label))
    assert TASKS["density"].answers == ("A", "B", "C", "D")
    assert "C (3) -> 2" in row.rule


@pytest.mark.parametrize("text", ["0", "5", "E", "AB", "dense"])
def test_a_density_that_cannot_be_read_raises(text: str) -> None:
    with pytest.raises(DatasetError, match=f"breast E1_L: density is '{text}', not a density, A to D or 1 to 4"):
        label_breasts("density", [breast("1")], truth={"E1_L": {"density": text}}, dataset="d")


def test_a_birads_that_cannot_be_read_raises_instead_of_being_left_out() -> None:
    for task in ("malignancy", "mass"):
        with pytest.raises(DatasetError, match="breast E1_L: birads is 'four', not a BI-RADS category"):
            label_breasts(task, [breast("1")], truth={"E1_L": {"birads": "four", "masses": "1"}}, dataset="d")


@pytest.mark.parametrize(("task", "fact"), [("mass", "masses"), ("calcification", "calcifications")])
def test_counts_become_presence_and_a_missing_count_is_no_label(task: str, fact: str) -> None:
    truth = {"E1_L": {fact: "0"}, "E2_L": {fact: "2"}, "E3_L": {fact: ""}, "E4_L": {fact: "1.0"}, "E5_L": {}}
    rows = label_breasts(task, [breast(name) for name in "12345"], truth=truth, dataset="d")
    assert [(row.exam_id, row.label, row.stratum) for row in rows] == [("E1", 0, "0"), ("E2", 1, "1"), ("E4", 1, "1")]


def test_cancer_leads_its_stratum_whatever_its_birads() -> None:
    # an owner's cancers may carry a BI-RADS of 0 or none: they must still be dealt as cancers
    truth = {
        "E1_L": {"cancer": "1", "birads": "0"},
        "E2_L": {"cancer": "0", "birads": "2.0"},
        "E3_L": {"cancer": "1"},
    }
    rows = label_breasts("cancer", [breast(name) for name in "123"], truth=truth, dataset="d")
    assert [(row.label, row.stratum) for row in rows] == [(1, "1/0"), (0, "0/2"), (1, "1")]
    assert sorted(row.stratum for row in rows)[0] == "0/2"


@pytest.mark.parametrize(
    ("task", "facts", "says"),
    [
        ("mass", {"masses": "two"}, "masses is 'two', not a whole number"),
        ("mass", {"masses": "-1"}, "masses is '-1', not a whole number"),
        ("cancer", {"cancer": "2"}, "cancer is '2', not 0 or 1"),
        ("cancer", {"cancer": "malignant"}, "cancer is 'malignant', not 0 or 1"),
    ],
)
def test_a_fact_that_cannot_be_read_names_breast_and_fact(task: str, facts: dict[str, str], says: str) -> None:
    with pytest.raises(DatasetError, match=f"breast E1_L: {says}"):
        label_breasts(task, [breast("1")], truth={"E1_L": facts}, dataset="d")


def test_several_labels_at_once_are_the_bits_of_one_number_and_need_every_fact() -> None:
    counts = [("0", "0"), ("2", "0"), ("0", "1"), ("1", "3"), ("1", ""), ("", "0")]
    truth = {f"E{at}_L": {"masses": m, "calcifications": c} for at, (m, c) in enumerate(counts)}
    rows = label_breasts("findings", [breast(str(at)) for at in range(6)], truth=truth, dataset="d")
    assert [(row.exam_id, row.label, row.stratum) for row in rows] == [(f"E{at}", at, str(at)) for at in range(4)]
    assert rows[0].rule.startswith("+1 for mass (no annotated mass -> 0; one or more -> 1); +2 for calcification")
    with pytest.raises(DatasetError, match="breast E1_L: calcifications is 'some', not a whole number"):
        label_breasts("findings", [breast("1")], truth={"E1_L": {"calcifications": "some"}}, dataset="d")
    with pytest.raises(DatasetError, match="no usable columns 'masses' and 'calcifications'"):
        label_breasts("findings", [breast("1")], truth={"E1_L": {"masses": "1"}}, dataset="d")


def test_unknown_tasks_and_facts_that_nobody_gives_are_named() -> None:
    with pytest.raises(
        ConfigError, match=r"unknown task 'malignant' \(did you mean 'malignancy'\?\); known: malignancy"
    ):
        label_breasts("malignant", [], truth={}, dataset="d")
    with pytest.raises(DatasetError, match="no usable column 'masses'"):
        label_breasts("mass", [breast("1")], truth={"E1_L": {"birads": "1"}}, dataset="d")
