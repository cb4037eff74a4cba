import logging

import numpy as np
import pytest
import torch

from tilebank.errors import HeadError
from tilebank.mil.bags.bags import chunk_bags
from tilebank.mil.fitting.memory_plan import plan_batches, plan_fit

CPU = torch.device("cpu")


@pytest.fixture
def plan(make_bags):
    def make(**settings):
        train, val = make_bags(seed=0, breasts=24, dim=512), make_bags(seed=1, breasts=12, dim=512)
        usual = {"row_bytes": 4096, "weights_bytes": 0, "batch": 0, "memory_mb": 0}
        return plan_fit(train, val, device=CPU, **{**usual, **settings})

    return make


@pytest.mark.parametrize("most", [1, 5, 9, 1000])
def test_chunks_hold_every_breast_once_and_no_more_rows_than_asked_but_for_one_large_breast(most):
    sizes = np.random.default_rng(0).integers(0, 12, 50)
    chunks = chunk_bags(sizes, max_rows=most)
    assert [place for start, stop in chunks for place in range(start, stop)] == list(range(50))
    for start, stop in chunks:
        assert sizes[start:stop].sum() <= most or stop - start == 1
    assert (len(chunks) == 1) == (most == 1000)


def test_without_a_bound_a_small_split_is_one_piece_of_the_full_batch(plan):
    made = plan()
    assert (made.batch, made.steps, made.pieces, made.resident, made.budget_mb) == (24, 1, 1, True, 0)


def test_a_tiny_budget_gives_smaller_pieces_and_sends_features_when_they_do_not_fit(plan, caplog):
    roomy = plan(memory_mb=1, row_bytes=8192)
    assert roomy.resident
    assert 1 < roomy.pieces < 24  # 1 MB less 0.25 MB of features holds about 85 rows of 8 kB
    with caplog.at_level(logging.INFO, logger="tilebank.mil.fitting.memory_plan"):
        tight = plan(memory_mb=1, row_bytes=80_000)
    assert not tight.resident
    assert tight.pieces > roomy.pieces
    assert tight.steps == 1
    assert "features are sent per micro-batch" in caplog.text
    assert "full batch, in" in caplog.text


def test_pieces_grow_with_the_weights_that_each_would_handle(plan):
    assert plan(row_bytes=1 << 20).pieces > 1
    assert plan(row_bytes=1 << 20, weights_bytes=100 << 20).pieces == 1
    assert plan(row_bytes=8192, weights_bytes=100 << 20, memory_mb=1).pieces > 1  # never over the budget


def test_a_budget_that_holds_no_breast_is_refused_with_both_sizes(plan):
    with pytest.raises(HeadError, match="largest breast needs 11 MB and 1 MB are free"):
        plan(memory_mb=1, row_bytes=1 << 20)


def test_mini_batches_are_as_many_as_the_split_needs(plan):
    made = plan(batch=10)
    assert (made.batch, made.steps) == (10, 3)
    assert "3 mini-batches of up to 10 breasts" in made.as_text()
    assert plan(batch=1000).steps == 1


def test_batches_hold_each_breast_once_in_an_order_that_the_seed_gives():
    def order(seed):
        return plan_batches(25, steps=3, generator=torch.Generator().manual_seed(seed))

    assert sorted(np.concatenate(order(0)).tolist()) == list(range(25))
    assert [len(batch) for batch in order(0)] == [9, 8, 8]
    assert all(np.array_equal(a, b) for a, b in zip(order(0), order(0), strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(order(0), order(1), strict=True))
