"""Base class of heads with one attention branch (abmil, clam_sb): projection, attention pooling, classifier.

h_i = ReLU(W x_i + b), z = sum_i a_i h_i with attention a as in attention.py, then Linear(C, outputs).
T trial, N instance, B breast, C channel.
"""

from abc import ABC
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tilebank.errors import HeadError
from tilebank.mil.bags.ragged import Rows
from tilebank.mil.contract.dropout import NO_NOISE, StepNoise
from tilebank.mil.contract.outputs import Outputs
from tilebank.mil.contract.records import Attention, ForwardPass, PreparedBags
from tilebank.mil.heads.parts.attention import AttentionScorer, pool_by_attention
from tilebank.mil.heads.parts.layers import StackedLinear
from tilebank.mil.heads.parts.single_bag import SingleBagConfig, SingleBagHead


@dataclass(frozen=True)
class AttentionConfig(SingleBagConfig, ABC):
    """`hidden`: width of h; `attention`: width of the attention branch."""

    hidden: int = 128
    attention: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.hidden, self.attention) < 1:
            raise HeadError(
                f"head {self.name}: widths hidden={self.hidden}, attention={self.attention} must be positive"
            )


class AttentionHead(SingleBagHead, ABC):
    """T attention heads. Subclasses with their own loss build it from `scorer` and `pool`."""

    config: AttentionConfig

    def __init__(
        self,
        config: AttentionConfig,
        *,
        dim: int,
        gated: bool,
        generators: Sequence[torch.Generator],
        outputs: Outputs,
    ) -> None:
        """Initial weights are sampled in this order: scorer, classifier, then layers that a subclass adds."""
        super().__init__(config, dim=dim, outputs=outputs)
        self.scorer = AttentionScorer(
            dim, config.hidden, config.attention, gated=gated, instances=config.instances, generators=generators
        )
        self.classifier = StackedLinear(config.hidden, outputs.count, generators=generators)

    @property
    def pooled_width(self) -> int:
        """C."""
        return self.config.hidden

    def run(self, bags: PreparedBags, *, noise: StepNoise = NO_NOISE) -> ForwardPass:
        """Logits and attention."""
        rows = self.rows(bags)
        h, scores = self.scorer(rows)
        return self.pool(h, scores, rows, noise=noise)

    def pool(self, h: Tensor, scores: Tensor, rows: Rows, *, noise: StepNoise) -> ForwardPass:
        """Logits and attention, given h (T, C, N) and attention scores (T, N)."""
        pooled, weights = pool_by_attention(h, scores, rows.segments)
        return ForwardPass(self.as_logits(self.classifier(noise.dropout(pooled))), Attention(weights, rows))
