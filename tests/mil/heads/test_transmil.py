"""TransMIL against its equations, one bag at a time; Nystrom's attention against the exact one."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.nn.functional import conv1d, conv2d, layer_norm

from tilebank.errors import HeadError
from tilebank.mil.heads.parts.layers import generators_of
from tilebank.mil.heads.parts.nystrom import NystromAttention
from tilebank.mil.heads.registry import build_head
from tilebank.mil.heads.transmil import TransmilConfig

CONFIG = TransmilConfig(instances="tiles", hidden=8, heads=2, kernel=5)


def exact_attention(layer, x, trial):
    """(L, C) -> what is added (L, C), by softmax over all pairs, and the first token's weights (L,)."""
    q, k, v = (x @ part.T for part in layer.qkv[trial].chunk(3))
    seen, weights = [], []
    for head, own in enumerate(torch.arange(x.shape[1]).chunk(layer.heads)):
        a = torch.softmax(q[:, own] @ k[:, own].T / math.sqrt(len(own)), dim=1)
        taps = layer.along[trial, head, 0, :, 0]
        along = conv1d(v[:, own].T.unsqueeze(1), taps.view(1, 1, -1), padding=len(taps) // 2).squeeze(1).T
        seen.append(a @ v[:, own] + along)
        weights.append(a[0])
    return torch.cat(seen, dim=1) @ layer.out.weight[trial].T + layer.out.bias[trial], torch.stack(weights).mean(dim=0)


def plain(head, h, trial):
    """(n, C) -> logit, and attention (n,)."""
    count, width = h.shape
    side = math.ceil(math.sqrt(count))
    places = [place % count for place in range(side * side)]

    def norm(which, x):
        return layer_norm(x, (width,)) * head.norms[which].weight[trial] + head.norms[which].bias[trial]

    x = torch.cat([head.token[trial][None], h[places]])
    x = x + exact_attention(head.attentions[0], norm(0, x), trial)[0]
    square = x[1:].T.clone().view(1, width, side, side)
    for kernels in head.position.kernels:
        padding = kernels.shape[-1] // 2
        x[1:] += conv2d(square, kernels[trial], padding=padding, groups=width).view(width, -1).T
    x[1:] += head.position.bias[trial]
    added, paid = exact_attention(head.attentions[1], norm(1, x), trial)
    logit = head.classifier.weight[trial, 0] @ norm(2, x + added)[0] + head.classifier.bias[trial, 0]
    weights = torch.zeros(count).index_add_(0, torch.tensor(places), paid[1:])
    return logit, weights / weights.sum()


def test_answers_and_attention_are_those_of_the_equations(make_bags):
    head, bags = build_head(CONFIG, dim=6, seeds=[0, 1]), make_bags(seed=0)
    prepared = head.prepare(bags)
    seen, h = head.run(prepared), head.projection(prepared.tiles).detach()
    head.requires_grad_(False)
    for trial in range(2):
        expected = [plain(head, h[trial, :, a:b].T, trial) for a, b in pairwise(bags.tile_offsets.tolist())]
        torch.testing.assert_close(seen.logits[trial], torch.stack([logit for logit, _ in expected]))
        torch.testing.assert_close(seen.attention.weights[trial], torch.cat([weights for _, weights in expected]))


def attention_of(*, landmarks, width=8):
    return NystromAttention(width, heads=2, landmarks=landmarks, kernel=3, generators=generators_of([0, 1]))


def tokens_of(*, tokens, width=8, seed=0):
    return torch.randn(2, 3, tokens, width, generator=torch.Generator().manual_seed(seed))


def test_as_many_landmarks_as_tokens_give_nearly_the_exact_attention():
    layer, x = attention_of(landmarks=20), tokens_of(tokens=20)
    query, key, value = layer._split(x)
    exact, near = layer._exact(query, key, value), layer._by_landmarks(query, key, value)
    # The rest is the pseudo-inverse's six steps.
    assert (near - exact).norm() < 0.02 * exact.norm()


def test_few_landmarks_are_near_where_tokens_are_alike_in_runs():
    layer = attention_of(landmarks=16)
    x = tokens_of(tokens=16).repeat_interleave(8, dim=2)  # 128 tokens, each run of eight the same
    query, key, value = layer._split(x)
    exact, near = layer._exact(query, key, value), layer._by_landmarks(query, key, value)
    assert (near - exact).norm() < 0.02 * exact.norm()


def test_a_long_sequence_is_attended_by_landmarks_and_a_short_one_exactly():
    layer = attention_of(landmarks=16)
    for tokens in (16, 17, 50):
        x = tokens_of(tokens=tokens)
        query, key, value = layer._split(x)
        way = layer._exact if tokens == 16 else layer._by_landmarks
        seen = way(query, key, value) + layer._convolved(value)  # (T x G, K, L, d)
        seen = seen.view(2, 3, 2, tokens, 4).transpose(2, 3).reshape(2, 3 * tokens, 8)
        torch.testing.assert_close(layer(x)[0].flatten(1, 2), layer.out(seen.mT).mT)


def test_order_on_the_square_counts(make_bags):
    head, bags = build_head(CONFIG, dim=6, seeds=[0]), make_bags(seed=0, fewest_tiles=4)
    turned = np.concatenate([np.arange(b - 1, a - 1, -1) for a, b in pairwise(bags.tile_offsets.tolist())])
    other = head(replace(bags, tile_features=bags.tile_features[turned]))
    assert (other - head(bags)).abs().max() > 1e-3


def test_a_kernel_without_a_middle_is_refused():
    with pytest.raises(HeadError, match="kernel 4 must be positive and odd"):
        TransmilConfig(kernel=4)
