"""Splits that keep patients, strata, shares and what they once said."""

import logging
import random
from collections import Counter
from dataclasses import replace

import pytest

from tilebank.datasets.splits import SplitConfig, assert_no_leak, keep_fraction, official_splits, plan_splits
from tilebank.errors import DatasetError, LeakageError
from tilebank.terms import LabelRow, Split


def labels(patients: int, *, first: int = 0) -> list[LabelRow]:
    """Two breasts a patient; one patient in four has a positive one."""
    rows = []
    for number in range(first, first + patients):
        for side in "LR":
            label = int(number % 4 == 0 and side == "L")
            exam = f"E{number}"
            rows.append(
                LabelRow("d", "malignancy", f"P{number}", exam, f"{exam}_{side}", label, "4" if label else "1", "rule")
            )
    return rows


def drawn(patients: int, *, seed: int) -> list[LabelRow]:
    """One breast a patient, of a stratum drawn with the unequal weights of a real study."""
    strata = random.Random(seed).choices("12456", weights=[60, 25, 8, 5, 2], k=patients)
    return [
        LabelRow("d", "malignancy", f"P{number}", f"E{number}", f"E{number}_L", 0, stratum, "rule")
        for number, stratum in enumerate(strata)
    ]


def by_stratum(rows: list[LabelRow], splits: dict[str, Split]) -> Counter[tuple[str, Split]]:
    return Counter((row.stratum, splits[row.patient_id]) for row in rows)


def test_shares_hold_in_every_stratum() -> None:
    splits = plan_splits(labels(400), SplitConfig())
    assert Counter(splits.values()) == {Split.TRAIN: 280, Split.TEST: 80, Split.VAL: 40}
    positive = [splits[f"P{number}"] for number in range(0, 400, 4)]
    assert Counter(positive) == {Split.TRAIN: 70, Split.TEST: 20, Split.VAL: 10}


@pytest.mark.parametrize("seed", range(20))
def test_a_fresh_plan_keeps_shares_within_a_patient_in_each_stratum_and_in_all(seed: int) -> None:
    rows = drawn(50 + 37 * seed, seed=seed)
    splits = plan_splits(rows, SplitConfig(seed=seed))
    counts = by_stratum(rows, splits)
    for stratum, size in Counter(row.stratum for row in rows).items():
        assert abs(counts[stratum, Split.TEST] - 0.2 * size) <= 1
        assert abs(counts[stratum, Split.VAL] - 0.1 * size) <= 1
    total = Counter(splits.values())
    assert abs(total[Split.TEST] - 0.2 * len(rows)) <= 1
    assert abs(total[Split.VAL] - 0.1 * len(rows)) <= 1


def test_the_same_seed_gives_the_same_split_in_any_order_and_another_seed_another() -> None:
    rows = labels(60)
    assert plan_splits(rows, SplitConfig()) == plan_splits(rows[::-1], SplitConfig())
    assert plan_splits(rows, SplitConfig()) != plan_splits(rows, SplitConfig(seed=1))


@pytest.mark.parametrize("more", [1, 2, 3, 7, 20, 50])
def test_adding_patients_never_moves_an_old_one(more: int) -> None:
    for seed in range(10):
        everyone = drawn(80 + more, seed=seed)
        before = plan_splits(everyone[:80], SplitConfig(seed=seed))
        after = plan_splits(everyone, SplitConfig(seed=seed), held=before)
        assert {patient_id: after[patient_id] for patient_id in before} == before
        assert len(after) == 80 + more


def test_a_fresh_plan_of_more_patients_does_move_old_ones() -> None:
    # so that the memory of the test above holds them, and not luck
    everyone = drawn(130, seed=0)
    before = plan_splits(everyone[:80], SplitConfig())
    assert before.items() - plan_splits(everyone, SplitConfig()).items()


def test_shares_hold_after_patients_came_one_by_one() -> None:
    rows = drawn(300, seed=3)
    splits = plan_splits(rows[:50], SplitConfig())
    for count in range(51, 301):
        splits = plan_splits(rows[:count], SplitConfig(), held=splits)
    counts = by_stratum(rows, splits)
    for stratum, size in Counter(row.stratum for row in rows).items():
        assert abs(counts[stratum, Split.TEST] - 0.2 * size) <= 2
        assert abs(counts[stratum, Split.VAL] - 0.1 * size) <= 2


def test_newcomers_are_shared_out_by_what_a_stratum_lacks() -> None:
    rows = [replace(row, stratum="1") for row in drawn(100, seed=0)]
    held = {row.patient_id: Split.TRAIN for row in rows[:80]}  # nobody was held out so far
    # of 100 patients 20 places of test and 10 of validation are free, for 20 newcomers: two thirds and one third
    counts = Counter(plan_splits(rows, SplitConfig(), held=held).values())
    assert counts == {Split.TRAIN: 80, Split.TEST: 14, Split.VAL: 6}
    # where too many are held out already, all newcomers are trained on
    held = {
        row.patient_id: Split(split) for row, split in zip(rows, ["test", "val", "val", "train"] * 20, strict=False)
    }
    counts = Counter(plan_splits(rows, SplitConfig(), held=held).values())
    assert counts == {Split.TEST: 20, Split.VAL: 40, Split.TRAIN: 40}


def test_held_patients_without_a_label_are_no_part_of_the_plan() -> None:
    rows = labels(40)
    held = plan_splits(rows, SplitConfig()) | {"gone": Split.TEST}
    assert "gone" not in plan_splits(rows, SplitConfig(), held=held)


def test_a_patients_breasts_never_part() -> None:
    rows = labels(60)
    splits = plan_splits(rows, SplitConfig())
    assert_no_leak({split: [row.patient_id for row in rows if splits[row.patient_id] is split] for split in Split})


def test_small_strata_are_not_forgotten_by_rounding() -> None:
    # 30 strata of one patient each: rounding every one by itself would leave test and val empty
    rows = [replace(row, stratum=str(100 + number)) for number, row in enumerate(labels(30)[::2])]
    assert Counter(plan_splits(rows, SplitConfig()).values()) == {Split.TRAIN: 21, Split.TEST: 6, Split.VAL: 3}


def test_a_scheme_names_what_a_split_depends_on_and_not_the_fraction() -> None:
    schemes = [
        SplitConfig().scheme,
        SplitConfig(val=0.2).scheme,
        SplitConfig(test=0.3).scheme,
        SplitConfig(seed=1).scheme,
        SplitConfig(official=True).scheme,
    ]
    assert len(set(schemes)) == len(schemes)
    assert SplitConfig(fraction=0.1).scheme == SplitConfig().scheme == "val=0.1 test=0.2 seed=0"
    # of no effect with the owner's test
    assert SplitConfig(official=True, test=0.3).scheme == SplitConfig(official=True).scheme


def owners(rows: list[LabelRow], test: set[str]) -> dict[str, dict[str, str]]:
    return {row.breast_id: {"split": "test" if row.patient_id in test else "train"} for row in rows}


def test_official_test_patients_are_the_test_and_val_is_a_share_of_the_others() -> None:
    rows = labels(240)
    test = {f"P{number}" for number in range(40)}
    official = official_splits(rows, owners(rows, test))
    splits = plan_splits(rows, SplitConfig(official=True), official=official)
    assert {patient_id for patient_id, split in splits.items() if split is Split.TEST} == test
    assert Counter(splits.values()) == {Split.TEST: 40, Split.VAL: 20, Split.TRAIN: 180}


def test_without_official_the_owners_split_is_not_looked_at() -> None:
    rows = labels(60)
    official = official_splits(rows, owners(rows, {"P0"}))
    assert plan_splits(rows, SplitConfig(), official=official) == plan_splits(rows, SplitConfig())


def test_a_patient_whom_the_owner_names_in_both_goes_not_to_test(caplog: pytest.LogCaptureFixture) -> None:
    rows = labels(60)
    truth = owners(rows, {"P0", "P1", "P2", "P3"})
    truth["E0_R"] = {"split": "train"}  # of P0, whose left breast is test
    with caplog.at_level(logging.WARNING):
        official = official_splits(rows, truth)
    splits = plan_splits(rows, SplitConfig(official=True), official=official)
    assert {patient_id for patient_id, split in splits.items() if split is Split.TEST} == {"P1", "P2", "P3"}
    assert "names 1 of 60 patients in both" in caplog.text


def test_official_splits_stay_when_patients_are_added() -> None:
    rows = labels(120)
    official = official_splits(rows, owners(rows, {f"P{number}" for number in range(0, 120, 5)}))
    config = SplitConfig(official=True)
    before = plan_splits(rows[:160], config, official=official)
    after = plan_splits(rows, config, official=official, held=before)
    assert before.items() <= after.items()
    assert all(after[patient_id] is split for patient_id, split in official.items() if split is Split.TEST)


def test_a_held_patient_whom_the_owner_moves_to_the_test_raises() -> None:
    rows, config = labels(60), SplitConfig(official=True)
    held = plan_splits(rows, config, official=official_splits(rows, owners(rows, {"P0", "P4"})))
    moved = official_splits(rows, owners(rows, {"P0", "P5"}))
    with pytest.raises(DatasetError, match=r"2 patients were moved into or out of the test, \['P4', 'P5'\]"):
        plan_splits(rows, config, official=moved, held=held)


def test_a_held_test_patient_who_turns_up_in_both_stays() -> None:
    rows, config = labels(60), SplitConfig(official=True)
    truth = owners(rows, {"P0", "P4"})
    held = plan_splits(rows, config, official=official_splits(rows, truth))
    truth["E4_R"] = {"split": "train"}
    assert plan_splits(rows, config, official=official_splits(rows, truth), held=held) == held


def test_official_splits_that_are_not_there_or_unreadable_say_so() -> None:
    rows = labels(20)
    with pytest.raises(DatasetError, match=r"state no split; run without splits.official"):
        official_splits(rows, {row.breast_id: {"birads": "1"} for row in rows})
    with pytest.raises(DatasetError, match="breast E3_L: split is 'dev', not train or test"):
        official_splits(rows, {"E3_L": {"split": "dev"}})
    nobody = official_splits(rows, owners(rows, set()))
    with pytest.raises(DatasetError, match="test would be empty; label 10 or more outside the owner's test and one"):
        plan_splits(rows, SplitConfig(official=True), official=nobody)


def test_fractions_of_the_train_patients_are_nested_and_leave_the_rest_alone() -> None:
    rows = drawn(400, seed=1)
    whole = plan_splits(rows, SplitConfig())
    held_out = {patient_id for patient_id, split in whole.items() if split is not Split.TRAIN}
    larger = keep_fraction(whole, rows, SplitConfig())
    assert larger == whole
    for fraction in (0.5, 0.25, 0.1, 0.01):
        kept = keep_fraction(whole, rows, SplitConfig(fraction=fraction))
        assert kept.items() < larger.items()
        assert held_out <= kept.keys()
        larger = kept
    assert Counter(keep_fraction(whole, rows, SplitConfig(fraction=0.5)).values())[Split.TRAIN] == pytest.approx(
        Counter(whole.values())[Split.TRAIN] / 2, abs=3
    )


def test_a_fraction_keeps_each_stratums_share_and_at_least_one_patient_of_it() -> None:
    rows = drawn(400, seed=2)
    whole = plan_splits(rows, SplitConfig())
    kept = keep_fraction(whole, rows, SplitConfig(fraction=0.1))
    stratum = {row.patient_id: row.stratum for row in rows}
    sizes = Counter(stratum[patient_id] for patient_id, split in whole.items() if split is Split.TRAIN)
    counts = Counter(stratum[patient_id] for patient_id, split in kept.items() if split is Split.TRAIN)
    assert all(abs(counts[name] - 0.1 * size) <= 0.5 or counts[name] == 1 for name, size in sizes.items())
    least = keep_fraction(whole, rows, SplitConfig(fraction=1e-6))
    assert Counter(stratum[patient_id] for patient_id, split in least.items() if split is Split.TRAIN) == dict.fromkeys(
        sizes, 1
    )
    another = keep_fraction(whole, rows, SplitConfig(fraction=0.1, seed=1))
    assert another.keys() != kept.keys()


@pytest.mark.parametrize("wrong", [{"val": 0.0}, {"test": 1.0}, {"val": 0.5, "test": 0.5}])
def test_shares_that_leave_nothing_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="leave something to train on"):
        SplitConfig(**wrong)


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.01])
def test_fractions_outside_0_to_1_are_refused(fraction: float) -> None:
    with pytest.raises(ValueError, match="above 0 and up to 1"):
        SplitConfig(fraction=fraction)


def test_too_few_patients_and_leaks_raise() -> None:
    with pytest.raises(
        DatasetError, match="too few patients with a label, 2: val, test would be empty; label 10 or more"
    ):
        plan_splits(labels(2), SplitConfig())
    with pytest.raises(LeakageError, match=r"1 patients in more than one split: \['P2'\]"):
        assert_no_leak({Split.TRAIN: ["P1", "P2"], Split.TEST: ["P2"]})
