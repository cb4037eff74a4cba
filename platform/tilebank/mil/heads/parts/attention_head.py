"""What the heads of one attention branch share: a projection, attention over the bag, a classifier of what it pools.

h_i = ReLU(W x_i + b), z = sum_i a_i h_i with attention a as in attention.py, then Linear(C, answers).
T trial, N instance, B breast, C channel.
"""

from abc import ABC
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tilebank.errors import HeadError
from tilebank.mil.bags.ragged import Rows
from tilebank.mil.contract.dropout import STILL, Draws
from tilebank.mil.contract.outputs import Outputs
from tilebank.mil.contract.records import Attention, HeadPass, PreparedBags
from tilebank.mil.heads.parts.attention import Scorer, pool_by_attention
from tilebank.mil.heads.parts.layers import StackedLinear
from tilebank.mil.heads.parts.single_bag import OneBagConfig, OneBagHead


@dataclass(frozen=True)
class AttentionConfig(OneBagConfig, ABC):
    """`hidden` and `attention`: widths of h and of what scores it."""

    hidden: int = 128
    attention: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.hidden, self.attention) < 1:
            raise HeadError(
                f"head {self.name}: widths hidden={self.hidden}, attention={self.attention} must be positive"
            )


class AttentionHead(OneBagHead, ABC):
    """T attention heads; a head with a loss of its own makes it of what `scorer` and `pool` give."""

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
        """`generators` are drawn from in this order: scorer, classifier; what a head adds comes after."""
        super().__init__(config, dim=dim, outputs=outputs)
        self.scorer = Scorer(
            dim, config.hidden, config.attention, gated=gated, instances=config.instances, generators=generators
        )
        self.classifier = StackedLinear(config.hidden, outputs.count, generators=generators)

    @property
    def pooled_width(self) -> int:
        """C."""
        return self.config.hidden

    def run(self, bags: PreparedBags, *, draws: Draws = STILL) -> HeadPass:
        """Logits and attention."""
        rows = self.rows(bags)
        h, scores = self.scorer(rows)
        return self.pool(h, scores, rows, draws=draws)

    def pool(self, h: Tensor, scores: Tensor, rows: Rows, *, draws: Draws) -> HeadPass:
        """What (T, C, N), attended to by (T, N), comes to."""
        pooled, weights = pool_by_attention(h, scores, rows.segments)
        return HeadPass(self.as_logits(self.classifier(draws.thin(pooled))), Attention(weights, rows))
