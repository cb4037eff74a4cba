"""Multihead attention of learned query tokens over vectors, all tokens and heads in one matrix product.

A query t is a token q_t with its own attention block (Vaswani et al., 2017, section 3.2.2), h being a vector of a bag:
    z_tk = (W_Q q_t + b_Q)_k . (W_K h)_k / sqrt(C / K),   o_t = LN(W_O concat_k(sum_i a_tki (W_V h_i)_k + b_V) + b_O)
with a = softmax(z) over the bag, no residual. No keys or values are computed per vector: (W_Q q)_k . (W_K h)_k is the
product of h with one direction, W_K' (W_Q q)_k, and W_V can act on the pooled vector because a sums to one. So Q x K
directions are one matrix product with the vectors of a bag, instead of 2 C Q keys and values. A bias of W_K would shift
all scores of a query alike; softmax and KL divergence have no gradient in it, so it is left out.
T trial, Q query, K head of a query, N instance, B breast, C channel.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from tilebank.mil.heads.parts.layers import linear_weights

_EPSILON = 1e-6  # of the layer norm, as in ASMIL's released code


class LearnedQueries(nn.Module):
    """Q tokens of T trials -> the directions along which vectors are scored.

    `spread`: initial standard deviation of the tokens. The division by sqrt(C / K) assumes 1; with much less, all
    scores start alike and attention needs thousands of steps to tell instances apart.
    """

    def __init__(
        self, queries: int, width: int, *, heads: int, generators: Sequence[torch.Generator], spread: float = 1.0
    ) -> None:
        super().__init__()
        tokens = [spread * torch.randn(queries, width, 1, generator=each) for each in generators]
        self.tokens = nn.Parameter(torch.stack(tokens))  # (T, Q, C, 1)
        self.query_weight = _stacked((queries, width, width), width, generators)  # (T, Q, C, C)
        self.query_bias = _stacked((queries, width, 1), width, generators)
        self.key_weight = _stacked((queries, width, width), width, generators)
        self.heads = heads

    def forward(self) -> Tensor:
        """(T, Q K, C)."""
        trials, queries, width, _ = self.tokens.shape
        per_head = width // self.heads
        queried = self.query_weight @ self.tokens + self.query_bias  # (T, Q, C, 1)
        queried = queried.view(trials, queries, self.heads, 1, per_head)
        keys = self.key_weight.view(trials, queries, self.heads, per_head, width)
        return ((queried @ keys) / math.sqrt(per_head)).view(trials, queries * self.heads, width)


class ValueProjection(nn.Module):
    """Value and output projections, with layer norm, of what Q queries have pooled."""

    def __init__(self, queries: int, width: int, *, heads: int, generators: Sequence[torch.Generator]) -> None:
        super().__init__()
        self.value_weight = _stacked((queries, width, width), width, generators)  # (T, Q, C, C)
        self.value_bias = _stacked((queries, 1, width), width, generators)
        self.out_weight = _stacked((queries, width, width), width, generators)
        self.out_bias = _stacked((queries, 1, width), width, generators)
        self.norm_weight = nn.Parameter(torch.ones_like(self.out_bias))  # (T, Q, 1, C)
        self.norm_bias = nn.Parameter(torch.zeros_like(self.out_bias))
        self.heads = heads

    def forward(self, pooled: Tensor) -> Tensor:
        """(T, Q K, B, C) -> (T, Q, B, C)."""
        trials, queries, width, _ = self.value_weight.shape
        weight = self.value_weight.view(trials, queries, self.heads, width // self.heads, width)
        values = pooled.view(trials, queries, self.heads, -1, width) @ weight.mT  # (T, Q, K, B, C / K)
        values = values.transpose(2, 3).flatten(3) + self.value_bias  # (T, Q, B, C)
        out = values @ self.out_weight.mT + self.out_bias
        return layer_norm(out, (width,), eps=_EPSILON) * self.norm_weight + self.norm_bias


def _stacked(shape: Sequence[int], inputs: int, generators: Sequence[torch.Generator]) -> nn.Parameter:
    return nn.Parameter(torch.stack([linear_weights(shape, inputs=inputs, generator=each) for each in generators]))
