"""Blocks of latents and rows against the Set Transformer's equations, one bag and one head at a time."""

import math
from itertools import pairwise

import pytest
import torch
from torch.nn.functional import layer_norm, silu

from tilebank.mil.heads.ilra import IlraConfig
from tilebank.mil.heads.registry import build_head
from tilebank.mil.heads.set_transformer import SetTransformerConfig


def linear(layer, x, trial):
    return x @ layer.weight[trial].T + layer.bias[trial]


def norm(layer, x, trial):
    return layer_norm(x, x.shape[-1:]) * layer.weight[trial] + layer.bias[trial]


def mab(block, x, y, trial):
    """MAB(X, Y) of (n, C) and (m, C), and attention (K, n, m)."""
    q, k, v = linear(block.query, x, trial), y @ block.key[trial].T, linear(block.value, y, trial)
    parts, weights = [], []
    for own in torch.arange(x.shape[1]).chunk(block.heads):
        weights.append(torch.softmax(q[:, own] @ k[:, own].T / math.sqrt(len(own)), dim=1))
        parts.append(weights[-1] @ v[:, own])
    h = norm(block.norms[0], x + torch.cat(parts, dim=1), trial)
    out = norm(block.norms[1], h + torch.relu(linear(block.feed, h, trial)), trial)
    return out if block.gate is None else out * silu(linear(block.gate, x, trial)), torch.stack(weights)


@pytest.mark.parametrize("kind", [SetTransformerConfig, IlraConfig], ids=lambda kind: kind.name)
def test_answers_and_attention_are_those_of_the_equations(make_bags, kind):
    head = build_head(kind(instances="tiles", hidden=8, heads=2, latents=3), dim=6, seeds=[0, 1])
    bags = make_bags(seed=0)
    prepared = head.prepare(bags)
    seen, first = head.run(prepared), head.projection(prepared.tiles)
    assert all((block.gather.gate is None) == (kind is SetTransformerConfig) for block in head.encoder)
    for trial in range(2):
        logits, attention = [], []
        for start, stop in pairwise(bags.tile_offsets.tolist()):
            x = first[trial, :, start:stop].T
            for block in head.encoder:
                gathered, _ = mab(block.gather, block.latents[trial].T, x, trial)
                x, _ = mab(block.spread, x, gathered, trial)
            pooled, weights = mab(head.pooling, head.seed[trial].T, x, trial)
            logits.append(linear(head.classifier, pooled, trial).squeeze())
            attention.append(weights.mean(dim=(0, 1)))
        torch.testing.assert_close(seen.logits[trial], torch.stack(logits), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(seen.attention.weights[trial], torch.cat(attention), atol=1e-5, rtol=1e-4)
