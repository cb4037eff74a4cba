"""Label rules by hand, and splits that keep patients, strata and shares."""

from collections import Counter
from dataclasses import replace

import pytest

from tilebank.datasets.labels import label_breasts
from tilebank.datasets.splits import SplitConfig, assert_no_leak, plan_splits
from tilebank.datasets.study import Breast
from tilebank.errors import ConfigError, DatasetError, LeakageError
from tilebank.terms import LabelRow, Laterality, Split


def breast(name: str) -> Breast:
    return Breast(f"P{name}", f"E{name}", f"E{name}_L", Laterality.L)


def test_malignancy_is_birads_1_against_4_5_6() -> None:
    truth = {f"E{birads}_L": {"birads": birads} for birads in "0123456"} | {"E7_L": {"birads": ""}}
    rows = label_breasts("malignancy", [breast(name) for name in "012345678"], truth, dataset="d")
    assert {row.exam_id: row.label for row in rows} == {"E1": 0, "E4": 1, "E5": 1, "E6": 1}
    assert rows[1].stratum == "4"
    assert "4, 5, 6 -> 1" in rows[0].rule


@pytest.mark.parametrize(
    ("text", "category"), [("4a", "4"), ("4C", "4"), ("4.0", "4"), ("BI-RADS 5", "5"), (" 1 ", "1")]
)
def test_birads_are_read_as_they_are_written(text: str, category: str) -> None:
    (row,) = label_breasts("malignancy", [breast("1")], {"E1_L": {"birads": text}}, dataset="d")
    assert (row.label, row.stratum) == (int(category != "1"), category)


def test_a_birads_that_cannot_be_read_raises_instead_of_being_left_out() -> None:
    for task in ("malignancy", "mass"):
        with pytest.raises(DatasetError, match="breast E1_L: birads is 'four', not a BI-RADS category"):
            label_breasts(task, [breast("1")], {"E1_L": {"birads": "four", "masses": "1"}}, dataset="d")


def test_counts_become_presence() -> None:
    truth = {"E1_L": {"masses": "0"}, "E2_L": {"masses": "2"}, "E3_L": {"masses": ""}}
    rows = label_breasts("mass", [breast(name) for name in "123"], truth, dataset="d")
    assert [(row.exam_id, row.label, row.stratum) for row in rows] == [("E1", 0, "0"), ("E2", 1, "1")]


def test_label_errors_name_the_task_the_fact_and_the_breast() -> None:
    with pytest.raises(ConfigError, match="unknown task 'malignant'; known: malignancy"):
        label_breasts("malignant", [], {}, dataset="d")
    with pytest.raises(DatasetError, match="no usable 'masses' column"):
        label_breasts("mass", [breast("1")], {"E1_L": {"birads": "1"}}, dataset="d")
    with pytest.raises(DatasetError, match="breast E1_L: masses is 'two', not a whole number"):
        label_breasts("mass", [breast("1")], {"E1_L": {"masses": "two"}}, dataset="d")


def labels(patients: int) -> list[LabelRow]:
    """Two breasts a patient; one patient in four has a positive one."""
    rows = []
    for number in range(patients):
        for side in "LR":
            label = int(number % 4 == 0 and side == "L")
            exam = f"E{number}"
            rows.append(
                LabelRow("d", "malignancy", f"P{number}", exam, f"{exam}_{side}", label, "4" if label else "1", "rule")
            )
    return rows


def test_shares_hold_in_every_stratum() -> None:
    splits = plan_splits(labels(400), SplitConfig())
    assert Counter(splits.values()) == {Split.TRAIN: 280, Split.TEST: 80, Split.VAL: 40}
    positive = [splits[f"P{number}"] for number in range(0, 400, 4)]
    assert Counter(positive) == {Split.TRAIN: 70, Split.TEST: 20, Split.VAL: 10}


def test_the_same_seed_gives_the_same_split_in_any_order_and_another_seed_another() -> None:
    rows = labels(60)
    assert plan_splits(rows, SplitConfig()) == plan_splits(rows[::-1], SplitConfig())
    assert plan_splits(rows, SplitConfig()) != plan_splits(rows, SplitConfig(seed=1))


def test_a_patients_breasts_never_part() -> None:
    rows = labels(60)
    splits = plan_splits(rows, SplitConfig())
    assert_no_leak({split: [row.patient_id for row in rows if splits[row.patient_id] is split] for split in Split})


def test_small_strata_are_not_forgotten_by_rounding() -> None:
    # 30 strata of one patient each: rounding every one by itself would leave test and val empty
    rows = [replace(row, stratum=str(100 + number)) for number, row in enumerate(labels(30)[::2])]
    assert Counter(plan_splits(rows, SplitConfig()).values()) == {Split.TRAIN: 21, Split.TEST: 6, Split.VAL: 3}


def test_too_few_patients_and_leaks_raise() -> None:
    with pytest.raises(
        DatasetError, match="too few patients with a label, 2: val, test would be empty; label 10 or more"
    ):
        plan_splits(labels(2), SplitConfig())
    with pytest.raises(LeakageError, match=r"1 patients in more than one split: \['P2'\]"):
        assert_no_leak({Split.TRAIN: ["P1", "P2"], Split.TEST: ["P2"]})
