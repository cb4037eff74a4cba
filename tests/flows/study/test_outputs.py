"""What a task asks of a head: outputs, arrays of labels, and splits that lack an answer, told before any fitting."""

import numpy as np
import pytest

from tilebank.datasets.labels import TASKS
from tilebank.datasets.splits import SplitConfig
from tilebank.errors import ConfigError, DatasetError
from tilebank.flows.study.outputs import assert_every_answer, assert_weights, label_array, outputs_of
from tilebank.mil.contract.outputs import BINARY, Outputs
from tilebank.terms import LabelRow, Split


def rows_of(task: str, labels: list[int]) -> list[LabelRow]:
    """One breast a patient."""
    return [LabelRow("d", task, f"P{at}", f"E{at}", f"E{at}_L", label, "", "") for at, label in enumerate(labels)]


def test_every_task_has_the_outputs_that_its_answers_ask_for() -> None:
    outputs = {name: outputs_of(task) for name, task in TASKS.items()}
    assert outputs.pop("density") == Outputs("multiclass", 4)
    assert outputs.pop("findings") == Outputs("multilabel", 2)
    assert set(outputs.values()) == {BINARY}


def test_the_bits_of_several_labels_become_a_column_each() -> None:
    found = label_array(TASKS["findings"], rows_of("findings", [0, 1, 2, 3]))
    assert TASKS["findings"].answers == ("mass", "calcification")
    np.testing.assert_array_equal(found, [[0, 0], [1, 0], [0, 1], [1, 1]])
    np.testing.assert_array_equal(label_array(TASKS["density"], rows_of("density", [3, 0])), [3, 0])


@pytest.mark.parametrize(
    ("task", "labels", "says"),
    [
        (
            "density",
            {"train": [0, 1, 2, 3], "val": [1, 2, 2, 0], "test": [0, 1, 2, 3]},
            r"'density': no breast of the val split is D \(1 A, 1 B, 2 C, 0 D; 4 patients\), and every split needs"
            r" each; .*splits.val is 0.1, splits.test 0.2.*another splits.seed \(it is 5\)",
        ),
        (
            "density",
            {"train": [0, 1, 2], "val": [0, 1, 2], "test": [0, 1, 2]},
            r"'density': no breast is D \(3 A, 3 B, 3 C, 0 D\); label breasts that are, or choose another task",
        ),
        (
            "density",
            {"train": [0, 1, 2, 3], "val": [2, 2], "test": [0, 1, 2, 3]},
            r"no breast of the val split is A or B or D \(0 A, 0 B, 2 C, 0 D; 2 patients\)",
        ),
        (
            "malignancy",
            {"train": [0, 1], "val": [0, 1], "test": [0, 0, 0]},
            r"no breast of the test split is positive \(3 negative, 0 positive; 3 patients\)",
        ),
        (
            "findings",
            {"train": [0, 3], "val": [1, 3], "test": [0, 3]},
            r"no breast of the val split is negative for mass \(2 positive for mass, 0 negative for mass, 1 positive"
            r" for calcification, 1 negative for calcification; 2 patients\)",
        ),
    ],
)
def test_a_split_without_an_answer_is_named_with_counts_and_what_to_do(
    task: str, labels: dict[str, list[int]], says: str
) -> None:
    rows = {Split(split): rows_of(task, numbers) for split, numbers in labels.items()}
    with pytest.raises(DatasetError, match=says):
        assert_every_answer(TASKS[task], rows, SplitConfig(seed=5))


def test_splits_with_every_answer_pass() -> None:
    for task, labels in (("density", [0, 1, 2, 3]), ("findings", [1, 2]), ("mass", [0, 1])):
        assert_every_answer(TASKS[task], {split: rows_of(task, labels) for split in Split}, SplitConfig())


def test_a_weight_of_positives_is_refused_for_classes_alone() -> None:
    for task in TASKS.values():
        assert_weights(task, positive_weights=[None])
    assert_weights(TASKS["findings"], positive_weights=[None, 2.0])
    with pytest.raises(ConfigError, match="positive_weight is 2.0, and the classes A, B, C, D of task 'density'"):
        assert_weights(TASKS["density"], positive_weights=[None, 2.0])
