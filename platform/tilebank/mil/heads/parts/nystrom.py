"""Nystrom self-attention over dense sequences: exact up to `landmarks` tokens, approximate beyond.

Xiong et al. (AAAI 2021): with landmarks Q~ and K~, means of runs of neighbouring tokens, and r(x) = softmax over keys,
    softmax(Q K' / sqrt(d)) V  is near  r(Q K~') pinv(r(Q~ K~')) r(Q~ K') V
in time linear in the number of tokens; pinv by six steps of their third-order iteration. As in the paper, a convolution
of V along the sequence is added, one kernel per head. For a sequence of no more tokens than landmarks the formula is
the exact softmax, which is computed instead. Neither tokens x tokens nor tokens x landmarks scores are held in memory:
each softmax is one fused attention. T trial, G sequence, L token, C channel, K head, d = C / K, M landmark.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, scaled_dot_product_attention

from tilebank.mil.bags.segments import segment_mean, segments_of
from tilebank.mil.heads.parts.layers import StackedLinear, linear_weights

_PINV_STEPS = 6


class NystromAttention(nn.Module):
    """T self-attentions: (T, G, L, C) -> (T, G, L, C)."""

    def __init__(
        self, width: int, *, heads: int, landmarks: int, kernel: int, generators: Sequence[torch.Generator]
    ) -> None:
        super().__init__()
        qkv = [linear_weights((3 * width, width), inputs=width, generator=each) for each in generators]
        self.qkv = nn.Parameter(torch.stack(qkv))  # (T, 3 C, C)
        self.out = StackedLinear(width, width, generators=generators)
        taps = [linear_weights((heads, 1, kernel, 1), inputs=kernel, generator=each) for each in generators]
        self.along = nn.Parameter(torch.stack(taps))  # (T, K, 1, kernel, 1)
        self.heads, self.landmarks = heads, landmarks

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The residual to add to x, and the exact attention of the first token, mean over heads: (T, G, L)."""
        query, key, value = self._split(x)
        attend = self._exact if x.shape[2] <= self.landmarks else self._by_landmarks
        attended = attend(query, key, value) + self._convolved(value)
        attended = attended.view(len(x), -1, *attended.shape[1:]).transpose(2, 3).flatten(3)  # (T, G, L, C)
        added = self.out(attended.flatten(1, 2).mT).mT.view_as(x)
        return added, self._first_token_attention(query, key).view(x.shape[:3])

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(T, G, L, C) -> three of (T x G, K, L, d)."""
        trials, sequences, tokens, width = x.shape
        joint = (x.flatten(1, 2) @ self.qkv.mT).view(trials * sequences, tokens, 3, self.heads, width // self.heads)
        query, key, value = joint.permute(2, 0, 3, 1, 4)
        return query, key, value

    def _exact(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return scaled_dot_product_attention(query, key, value)

    def _by_landmarks(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        tokens, scale = query.shape[2], query.shape[3] ** -0.5
        runs = torch.arange(self.landmarks + 1, device=query.device) * tokens // self.landmarks
        marks = segments_of(runs)
        queries, keys = (segment_mean(part.mT, marks).mT for part in (query, key))  # (T x G, K, M, d)
        attended = scaled_dot_product_attention(queries, key, value)
        inverse = _pseudo_inverse(torch.softmax(queries @ keys.mT * scale, dim=-1))
        return scaled_dot_product_attention(query, keys, inverse @ attended)

    def _convolved(self, value: Tensor) -> Tensor:
        """Convolve each head's channels along the sequence: (T x G, K, L, d) -> the same shape."""
        trials = len(self.along)
        by_trial = value.view(trials, -1, *value.shape[1:]).transpose(0, 1).flatten(1, 2)  # (G, T x K, L, d)
        taps = self.along.flatten(0, 1)
        convolved = conv2d(by_trial, taps, padding=(taps.shape[2] // 2, 0), groups=len(taps))
        return convolved.view(len(convolved), trials, -1, *convolved.shape[2:]).transpose(0, 1).flatten(0, 1)

    @torch.no_grad()
    def _first_token_attention(self, query: Tensor, key: Tensor) -> Tensor:
        scores = (query[:, :, :1] @ key.mT) * query.shape[3] ** -0.5  # (T x G, K, 1, L)
        return torch.softmax(scores, dim=-1).mean(dim=(1, 2))


def _pseudo_inverse(matrices: Tensor) -> Tensor:
    """Approximate Moore-Penrose inverse of matrices (..., M, M) whose rows sum to one."""
    identity = torch.eye(matrices.shape[-1], device=matrices.device)
    # Rows sum to one, so the row norm is one and only the column norm scales the initial inverse.
    inverse = matrices.mT / matrices.sum(dim=-2).amax(dim=-1, keepdim=True).unsqueeze(-1)
    for _ in range(_PINV_STEPS):
        product = matrices @ inverse
        inner = 15 * identity - product @ (7 * identity - product)
        inverse = inverse @ (13 * identity - product @ inner) / 4
    return inverse
