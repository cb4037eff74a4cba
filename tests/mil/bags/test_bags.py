from dataclasses import replace

import numpy as np
import pytest
import torch

from tilebank.errors import HeadError
from tilebank.mil.bags.bags import BagBatch
from tilebank.mil.bags.ragged import prepare_ragged


def arrays():
    rng = np.random.default_rng(0)
    return {
        "view_features": rng.normal(size=(3, 4)).astype(np.float16),
        "view_offsets": np.array([0, 2, 3]),
        "tile_features": rng.normal(size=(5, 4)).astype(np.float16),
        "tile_offsets": np.array([0, 0, 5]),
        "breast_ids": ["e1_L", "e1_R"],
        "labels": np.array([0, 1]),
    }


def test_read_only_features_are_wrapped_without_a_copy():
    given = arrays()
    given["tile_features"].flags.writeable = False
    bags = BagBatch.from_arrays(**given)
    assert bags.tile_features.data_ptr() == given["tile_features"].ctypes.data
    assert bags.dim == 4
    assert bags.labels.dtype == torch.float32


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("tile_offsets", np.array([0, 6, 5]), "tile offsets decrease at breast 1"),
        ("tile_offsets", np.array([0, 2, 4]), "from 0 to 4"),
        ("view_offsets", np.array([1, 2, 3]), "from 1 to 3"),
        ("view_offsets", np.array([0, 3]), r"2 breast ids need int64 of shape \(3,\)"),
        ("labels", np.array([0, 1, 1]), "2 breasts need float32"),
        ("labels", np.array([0, 0.5]), "values other than whole numbers"),
        ("labels", np.array([0, -1]), "values other than whole numbers"),
        ("view_features", np.zeros((3, 5), np.float16), "view vectors have 5 numbers, tile vectors 4"),
        ("view_features", np.zeros((3, 4), np.float64), "float64"),
        ("view_features", np.zeros(3, np.float16), r"pass \(N, D\)"),
    ],
)
def test_arrays_that_do_not_fit_each_other_are_refused(field, value, message):
    with pytest.raises(HeadError, match=message):
        BagBatch.from_arrays(**{**arrays(), field: value})


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_a_vector_that_is_not_finite_is_refused_by_its_breast(broken):
    given = arrays()
    given["view_features"][2, 1] = broken
    with pytest.raises(HeadError, match="view vector of breast e1_R"):
        BagBatch.from_arrays(**given)


def test_select_takes_the_rows_of_the_breasts_in_the_order_asked():
    bags = BagBatch.from_arrays(**arrays())
    swapped = bags.select([1, 0, 1])
    assert swapped.breast_ids == ("e1_R", "e1_L", "e1_R")
    assert swapped.labels.tolist() == [1, 0, 1]
    assert swapped.view_offsets.tolist() == [0, 1, 3, 4]
    assert swapped.tile_offsets.tolist() == [0, 5, 5, 10]
    assert torch.equal(swapped.view_features, bags.view_features[[2, 0, 1, 2]])


def test_bags_without_labels_keep_none_through_select_and_to():
    bags = BagBatch.from_arrays(**{**arrays(), "labels": None})
    assert bags.select([1]).labels is None
    assert bags.to("cpu").labels is None


def test_preparing_gives_unit_vectors_and_leaves_the_stored_ones_alone():
    stored = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    ready = prepare_ragged(stored, torch.tensor([0, 2]), l2_normalise=True)
    torch.testing.assert_close(ready.read(), torch.tensor([[0.6, 0.8], [0.0, 0.0]]))
    assert stored.tolist() == [[3.0, 4.0], [0.0, 0.0]]
    assert prepare_ragged(stored, torch.tensor([0, 2]), l2_normalise=False).features.tolist() == stored.tolist()


def test_a_replaced_field_is_checked_again():
    with pytest.raises(HeadError, match="3 breast ids"):
        replace(BagBatch.from_arrays(**arrays()), breast_ids=("a", "b", "c"))
