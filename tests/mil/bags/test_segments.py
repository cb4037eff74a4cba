import itertools

import pytest
import torch

from tilebank.mil.bags.segments import segment_max, segment_mean, segment_softmax, segment_sum, segments_of

OFFSETS = torch.tensor([0, 3, 3, 4, 9])  # the second segment is empty, the third holds one row
PLAIN = {
    segment_sum: lambda rows: rows.sum(dim=-1),
    segment_mean: lambda rows: rows.mean(dim=-1),
    segment_max: lambda rows: rows.max(dim=-1).values,
}


def by_loop(function, values):
    """Segment by segment; zeros for an empty one."""
    pieces = [values[..., a:b] for a, b in itertools.pairwise(OFFSETS)]
    return torch.stack([function(p) if p.shape[-1] else p.sum(dim=-1) for p in pieces], dim=-1)


@pytest.mark.parametrize("reduction", PLAIN)
@pytest.mark.parametrize("shape", [(9,), (3, 9), (3, 4, 9)])
def test_reduction_and_its_gradient_equal_a_loop_over_segments(reduction, shape):
    values = torch.randn(shape, generator=torch.Generator().manual_seed(0)).requires_grad_()
    ragged, looped = reduction(values, segments_of(OFFSETS)), by_loop(PLAIN[reduction], values)
    weights = torch.randn(looped.shape, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(ragged, looped)
    torch.testing.assert_close(
        torch.autograd.grad((ragged * weights).sum(), values), torch.autograd.grad((looped * weights).sum(), values)
    )


def test_softmax_and_its_gradient_equal_a_loop_over_segments():
    scores = (30 * torch.randn(2, 9, generator=torch.Generator().manual_seed(0))).requires_grad_()
    ragged = segment_softmax(scores, segments_of(OFFSETS))
    looped = torch.cat([scores[:, a:b].softmax(1) for a, b in itertools.pairwise(OFFSETS)], dim=1)
    weights = torch.randn(looped.shape, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(ragged, looped)
    torch.testing.assert_close(
        torch.autograd.grad((ragged * weights).sum(), scores), torch.autograd.grad((looped * weights).sum(), scores)
    )


@pytest.mark.parametrize("reduction", PLAIN)
def test_segments_without_any_row_reduce_to_zeros(reduction):
    empty = torch.zeros(2, 3, 0, requires_grad=True)
    reduced = reduction(empty, segments_of(torch.zeros(5, dtype=torch.int64)))
    assert reduced.shape == (2, 3, 4)
    assert not reduced.any()


def test_an_empty_segment_leaves_the_gradient_finite():
    values = torch.randn(2, 9, generator=torch.Generator().manual_seed(0)).requires_grad_()
    for reduction in PLAIN:
        (gradient,) = torch.autograd.grad(reduction(values, segments_of(OFFSETS)).sum(), values)
        assert gradient.isfinite().all()
        assert gradient.any()


def test_tied_maxima_share_the_gradient():
    values = torch.tensor([[1.0, 5.0, 5.0]], requires_grad=True)
    (gradient,) = torch.autograd.grad(segment_max(values, segments_of(torch.tensor([0, 3]))).sum(), values)
    assert gradient.tolist() == [[0.0, 0.5, 0.5]]


def test_one_row_of_any_stride_is_read_where_it_lies():
    rows = torch.arange(12.0).view(2, 6)[:1].T  # (6, 1), the column stride that of a longer matrix
    assert rows.stride() == (1, 6)
    assert torch.equal(segment_sum(rows, segments_of(torch.tensor([0, 1]))), torch.arange(6.0).view(6, 1))
