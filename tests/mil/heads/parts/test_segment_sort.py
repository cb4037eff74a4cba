"""Ranks, keys and hands of ragged segments, against plain loops."""

import torch

from tilebank.mil.bags.segments import segments_of
from tilebank.mil.heads.parts.segment_sort import random_keys, segment_ranks, split_segments

SEGMENTS = segments_of(torch.tensor([0, 3, 3, 8, 9]))


def values(*, seed: int, trials: int = 2) -> torch.Tensor:
    return torch.randn(trials, 9, generator=torch.Generator().manual_seed(seed))


def test_ranks_count_from_the_highest_of_each_segment():
    ranks = segment_ranks(values(seed=0), SEGMENTS)
    for row, ranked in zip(values(seed=0), ranks, strict=True):
        for start, stop in ((0, 3), (3, 8), (8, 9)):
            part = row[start:stop]
            assert ranked[start:stop].tolist() == [int((part > one).sum()) for one in part]


def test_equal_values_are_ranked_in_their_order():
    assert segment_ranks(torch.zeros(9), SEGMENTS).tolist() == [0, 1, 2, 0, 1, 2, 3, 4, 0]


def test_keys_of_a_segment_are_the_same_whatever_stands_around_it():
    noise = torch.rand(2, 4, generator=torch.Generator().manual_seed(0))
    together = random_keys(noise, SEGMENTS)
    alone = random_keys(noise[:, 2:3], segments_of(torch.tensor([0, 5])))
    assert torch.equal(together[:, 3:8], alone)
    assert len(together.unique()) == together.numel()


def test_each_row_is_equally_often_the_first_by_its_key():
    samples, rows = 6000, 6
    segments = segments_of(torch.arange(samples + 1) * rows)
    noise = torch.rand(samples, generator=torch.Generator().manual_seed(1))
    first = segment_ranks(random_keys(noise, segments), segments).view(samples, rows).argmin(dim=1)
    counts = torch.bincount(first, minlength=rows)
    # Five standard deviations of a fair draw.
    assert (counts - samples / rows).abs().max() < 5 * (samples / rows * (1 - 1 / rows)) ** 0.5


def test_rows_are_dealt_in_turn_and_none_is_lost():
    ranks = segment_ranks(values(seed=2), SEGMENTS)
    rows, hands = split_segments(ranks, SEGMENTS, parts=4)
    assert hands.lengths.tolist() == [2, 1, 0, 0, 0, 0, 0, 0, 2, 2, 1, 0, 1, 0, 0, 0]
    for ranked, dealt in zip(ranks, rows, strict=True):
        assert sorted(dealt.tolist()) == list(range(9))
        for hand, held in enumerate(dealt.split(hands.lengths.tolist())):
            step = (2, 0, 3, 1)[hand // 4]  # how many hands the segment fills
            assert ranked[held].tolist() == [hand % 4 + step * place for place in range(len(held))]
            assert all(SEGMENTS.owner[row] == hand // 4 for row in held)
