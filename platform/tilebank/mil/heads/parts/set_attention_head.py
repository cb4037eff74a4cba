"""What the heads of latents and rows share: a projection, a few induced blocks, and one latent that pools the bag.

h = ReLU(W x + b), then `blocks` ISAB (set_attention.py), then MAB(s, h) with one learned s, then Linear(C, answers).
T trial, N instance, B breast, C channel, K head, L latent.
"""

from abc import ABC
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from tilebank.errors import HeadError
from tilebank.mil.contract.dropout import STILL, Draws
from tilebank.mil.contract.outputs import BINARY, Outputs
from tilebank.mil.contract.records import Attention, HeadPass, PreparedBags
from tilebank.mil.heads.parts.layers import StackedLinear, generators_of, linear_weights
from tilebank.mil.heads.parts.set_attention import AttentionBlock, InducedBlock
from tilebank.mil.heads.parts.single_bag import OneBagConfig, OneBagHead, Projection


@dataclass(frozen=True)
class LatentConfig(OneBagConfig, ABC):
    """`hidden`: C; `latents`: L of each block; `heads`: K; `blocks`: how many before pooling."""

    hidden: int = 128
    heads: int = 4
    latents: int = 16
    blocks: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.hidden, self.heads, self.latents, self.blocks) < 1 or self.hidden % self.heads:
            raise HeadError(
                f"head {self.name}: hidden={self.hidden}, heads={self.heads}, latents={self.latents} and"
                f" blocks={self.blocks} must be positive, and heads divide hidden"
            )


class LatentHead(OneBagHead, ABC):
    """T heads of latents and rows; `gated` where blocks before pooling are."""

    config: LatentConfig
    gated: ClassVar[bool]

    def __init__(self, config: LatentConfig, *, dim: int, seeds: Sequence[int], outputs: Outputs = BINARY) -> None:
        super().__init__(config, dim=dim, outputs=outputs)
        generators, width = generators_of(seeds), config.hidden  # drawn from in the order of the lines below
        self.projection = Projection(dim, width, instances=config.instances, generators=generators)
        self.encoder = nn.ModuleList(
            InducedBlock(width, latents=config.latents, heads=config.heads, gated=self.gated, generators=generators)
            for _ in range(config.blocks)
        )
        seed = [linear_weights((width, 1), inputs=width, generator=each) for each in generators]
        self.seed = nn.Parameter(torch.stack(seed))  # (T, C, 1)
        self.pooling = AttentionBlock(width, heads=config.heads, gated=False, generators=generators)
        self.classifier = StackedLinear(width, outputs.count, generators=generators)

    @property
    def pooled_width(self) -> int:
        """C."""
        return self.config.hidden

    @property
    def row_numbers(self) -> int:
        """Of each block the vectors on their way and the scores and weights of both directions; and gradients."""
        width, scores = self.config.hidden, 6 * self.config.heads * self.config.latents
        return 2 * (self.config.blocks * ((18 if self.gated else 15) * width + scores) + 4 * width)

    def run(self, bags: PreparedBags, *, draws: Draws = STILL) -> HeadPass:
        """Logits, and the attention of the pooling latent to what stands at each instance's place, mean over heads."""
        rows = self.rows(bags)
        h: Tensor = self.projection(rows)
        for block in self.encoder:
            h = block(h, rows.segments)
        pooled, weights = self.pooling.latents_ask(self.seed, h, rows.segments)  # (T, C, 1, B), (T, K, 1, N)
        pooled = pooled.squeeze(2)
        logits = self.as_logits(self.classifier(draws.thin(pooled)))
        return HeadPass(logits, Attention(weights.mean(dim=(1, 2)), rows))
