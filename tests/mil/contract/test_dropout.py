"""Dropout on pooled vectors, and on the instances of each breast alike."""

import torch

from tilebank.mil.contract.dropout import NO_NOISE, StepNoise

MASK = torch.tensor([[[0.0, 2.0], [2.0, 0.0], [2.0, 2.0]]])  # (T=1, P=3, B=2)


def test_a_head_in_use_loses_nothing():
    pooled = torch.randn(1, 3, 2)
    assert NO_NOISE.dropout(pooled) is pooled
    assert NO_NOISE.dropout(pooled, owner=torch.tensor([0, 1])) is pooled


def test_pooled_vectors_lose_the_channels_of_their_own_breast():
    dropped = StepNoise(dropout_mask=MASK).dropout(torch.tensor([[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]]))
    assert dropped.tolist() == [[[0.0, 4.0], [6.0, 0.0], [10.0, 12.0]]]


def test_all_instances_of_a_breast_lose_the_channels_that_it_loses():
    instances, owner = torch.randn(1, 3, 5), torch.tensor([0, 0, 1, 1, 1])
    dropped = StepNoise(dropout_mask=MASK).dropout(instances, owner=owner)
    for place, breast in enumerate(owner.tolist()):
        assert torch.equal(dropped[:, :, place], instances[:, :, place] * MASK[:, :, breast])
