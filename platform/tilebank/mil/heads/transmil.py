"""TransMIL: a transformer over the instances of a bag, arranged on a square grid.

Shao et al. (NeurIPS 2021): h_i = ReLU(W x_i + b); the first tokens are repeated until they fill a square; a class token
is prepended; x = x + A(LN(x)) with Nystrom attention (nystrom.py); on the square, x = x + 7x7 + 5x5 + 3x3 depth-wise
convolutions of x (PPEG), which skip the class token; again x + A(LN(x)); then LN and Linear(C, outputs) of the class
token. The three convolutions are computed as one, with the sum of their kernels as a 7x7 kernel.
On the square the ORDER of instances matters: it is the order of the reader (views first, then tiles by image, from top
to bottom and left to right), broken into rows of equal length, as in the published code.
Bags with the same side length have the same number of tokens and are computed together, with no padding other than the
method's own. Published: 512 channels, 8 heads, 256 landmarks, kernel 33.
T trial, N instance, B breast, G bag of one side, S side, L = S x S + 1 token, C channel.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad

from tilebank.errors import HeadError
from tilebank.mil.bags.segments import Segments
from tilebank.mil.contract.dropout import NO_NOISE, StepNoise
from tilebank.mil.contract.outputs import BINARY, Outputs
from tilebank.mil.contract.records import Attention, ForwardPass, PreparedBags
from tilebank.mil.heads.parts.layers import StackedLayerNorm, StackedLinear, generators_of, linear_weights
from tilebank.mil.heads.parts.nystrom import NystromAttention
from tilebank.mil.heads.parts.single_bag import Projection, SingleBagConfig, SingleBagHead

_KERNELS = (7, 5, 3)


@dataclass(frozen=True)
class TransmilConfig(SingleBagConfig):
    """`landmarks`: attention is exact up to this many tokens; `kernel`: size of the convolution along the sequence."""

    name: Literal["transmil"] = "transmil"
    hidden: int = 128
    heads: int = 8
    landmarks: int = 256
    kernel: int = 33

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.hidden, self.heads, self.landmarks) < 1 or self.hidden % self.heads:
            raise HeadError(
                f"head {self.name}: hidden={self.hidden}, heads={self.heads} and landmarks={self.landmarks} must be"
                " positive, and hidden a multiple of heads"
            )
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise HeadError(f"head {self.name}: kernel {self.kernel} must be positive and odd")


class Transmil(SingleBagHead):
    """T heads."""

    config: TransmilConfig
    order_matters = True

    def __init__(self, config: TransmilConfig, *, dim: int, seeds: Sequence[int], outputs: Outputs = BINARY) -> None:
        super().__init__(config, dim=dim, outputs=outputs)
        generators, width = generators_of(seeds), config.hidden  # used in the order of the lines below
        self.projection = Projection(dim, width, instances=config.instances, generators=generators)
        self.token = nn.Parameter(torch.stack([torch.randn(width, generator=each) for each in generators]))  # (T, C)
        self.attentions = nn.ModuleList(
            NystromAttention(
                width, heads=config.heads, landmarks=config.landmarks, kernel=config.kernel, generators=generators
            )
            for _ in range(2)
        )
        self.norms = nn.ModuleList(StackedLayerNorm(width, trials=len(generators)) for _ in range(3))
        self.position = _Position(width, generators=generators)
        self.classifier = StackedLinear(width, outputs.count, generators=generators)

    @property
    def pooled_width(self) -> int:
        """C."""
        return self.config.hidden

    @property
    def floats_per_instance(self) -> int:
        """Tokens in both attentions and on the square, landmarks of a bag with more tokens, and gradients."""
        return 52 * self.config.hidden + 8 * self.config.heads * self.config.landmarks

    def run(self, bags: PreparedBags, *, noise: StepNoise = NO_NOISE) -> ForwardPass:
        """Logits, and the exact attention of the class token to each instance in the second block, mean over heads."""
        rows = self.rows(bags)
        h = self.projection(rows)  # (T, C, N)
        pooled = h.new_zeros(self.trials, self.config.hidden, len(rows.segments.lengths))
        weights = h.new_zeros(self.trials, h.shape[2])
        for bags_here, tokens in _squares(rows.segments):
            pooled_here, attended = self._forward(h[:, :, tokens].permute(0, 2, 3, 1))
            pooled = pooled.index_copy(2, bags_here, pooled_here)
            weights.index_add_(1, tokens.flatten(), (attended / attended.sum(dim=2, keepdim=True)).flatten(1))
        logits = self.as_logits(self.classifier(noise.dropout(pooled)))
        return ForwardPass(logits, Attention(weights, rows))

    def _forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(T, G, S x S, C) -> the class token (T, C, G), and its attention to the tokens (T, G, S x S)."""
        token = self.token[:, None, None].expand(-1, x.shape[1], -1, -1)
        x = torch.cat([token, x], dim=2)  # (T, G, L, C)
        x = x + self.attentions[0](self._layer_norm(0, x))[0]
        x = torch.cat([x[:, :, :1], self.position(x[:, :, 1:])], dim=2)
        added, weights = self.attentions[1](self._layer_norm(1, x))
        token = self._layer_norm(2, (x + added)[:, :, :1])
        return token.squeeze(2).mT, weights[:, :, 1:]

    def _layer_norm(self, which: int, x: Tensor) -> Tensor:
        """Layer norm number `which`: (T, G, L, C) -> the same shape."""
        normed: Tensor = self.norms[which](x.flatten(1, 2).mT)
        return normed.mT.view_as(x)


class _Position(nn.Module):
    """PPEG position encoding: (T, G, S x S, C) -> the same shape."""

    def __init__(self, width: int, *, generators: Sequence[torch.Generator]) -> None:
        super().__init__()
        kernels = [
            [linear_weights((width, 1, size, size), inputs=size * size, generator=each) for each in generators]
            for size in _KERNELS
        ]
        self.kernels = nn.ParameterList(nn.Parameter(torch.stack(each)) for each in kernels)  # (T, C, 1, size, size)
        self.bias = nn.Parameter(torch.zeros(len(generators), width))  # the sum of the three biases

    def forward(self, x: Tensor) -> Tensor:
        (trials, bags, tokens, width), widest = x.shape, _KERNELS[0]
        side = round(tokens**0.5)
        padded = [pad(each, [(widest - each.shape[-1]) // 2] * 4) for each in self.kernels]
        kernel = torch.stack(padded).sum(dim=0).flatten(0, 1)  # (T x C, 1, 7, 7)
        square = x.permute(1, 0, 3, 2).reshape(bags, trials * width, side, side)
        convolved = conv2d(square, kernel, self.bias.flatten(), padding=widest // 2, groups=trials * width)
        return x + convolved.view(bags, trials, width, tokens).permute(1, 0, 3, 2)


def _squares(segments: Segments) -> list[tuple[Tensor, Tensor]]:
    """For each side length: its bags (G,), and the rows on their squares, the first rows repeated (G, S x S)."""
    side_of_bag = [math.isqrt(size - 1) + 1 if size else 0 for size in segments.sizes]
    sides, squares = torch.tensor(side_of_bag, device=segments.offsets.device), []
    for side in sorted(set(side_of_bag) - {0}):
        places = (sides == side).nonzero().squeeze(1)
        tokens = torch.arange(side * side, device=sides.device) % segments.lengths[places].unsqueeze(1)
        squares.append((places, segments.offsets[places].unsqueeze(1) + tokens))
    return squares
