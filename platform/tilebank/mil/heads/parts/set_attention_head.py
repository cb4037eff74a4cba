"""Base class of set_transformer and ilra: projection, induced set attention blocks, pooling by one learned query.

h = ReLU(W x + b), then `blocks` ISAB (set_attention.py), then MAB(s, h) with one learned s, then Linear(C, outputs).
T trial, N instance, B breast, C channel, K head, L latent.
"""

from abc import ABC
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from tilebank.errors import HeadError
from tilebank.mil.contract.dropout import NO_NOISE, StepNoise
from tilebank.mil.contract.outputs import BINARY, Outputs
from tilebank.mil.contract.records import Attention, ForwardPass, PreparedBags
from tilebank.mil.heads.parts.layers import StackedLinear, generators_of, linear_weights
from tilebank.mil.heads.parts.set_attention import AttentionBlock, InducedBlock
from tilebank.mil.heads.parts.single_bag import Projection, SingleBagConfig, SingleBagHead


@dataclass(frozen=True)
class SetAttentionConfig(SingleBagConfig, ABC):
    """`hidden`: C; `latents`: L of each block; `heads`: K; `blocks`: number of blocks before pooling."""

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


class SetAttentionHead(SingleBagHead, ABC):
    """T heads; `gated`: whether the blocks before pooling are gated."""

    config: SetAttentionConfig
    gated: ClassVar[bool]

    def __init__(
        self, config: SetAttentionConfig, *, dim: int, seeds: Sequence[int], outputs: Outputs = BINARY
    ) -> None:
        super().__init__(config, dim=dim, outputs=outputs)
        generators, width = generators_of(seeds), config.hidden  # used in the order of the lines below
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
    def floats_per_instance(self) -> int:
        """Activations of each block, scores and weights of both directions, and their gradients."""
        width, scores = self.config.hidden, 6 * self.config.heads * self.config.latents
        return 2 * (self.config.blocks * ((18 if self.gated else 15) * width + scores) + 4 * width)

    def run(self, bags: PreparedBags, *, noise: StepNoise = NO_NOISE) -> ForwardPass:
        """Logits, and the attention of the pooling query to each instance's output vector, mean over heads."""
        rows = self.rows(bags)
        h: Tensor = self.projection(rows)
        for block in self.encoder:
            h = block(h, rows.segments)
        pooled, weights = self.pooling.latents_attend(self.seed, h, rows.segments)  # (T, C, 1, B), (T, K, 1, N)
        pooled = pooled.squeeze(2)
        logits = self.as_logits(self.classifier(noise.dropout(pooled)))
        return ForwardPass(logits, Attention(weights.mean(dim=(1, 2)), rows))
