"""Max pooling, over vectors or over instances' answers. Knows tensors alone.

The two approaches of Ilse, Tomczak and Welling (ICML 2018, section 2.2), each with the maximum. `embedding`: the
largest of each channel of f(x_i) over the bag, then Linear(C, answers). `instance`: Linear(C, answers) on every f(x_i),
the largest logit is the breast's, so that a step trains on one instance a bag and answer alone. f is ReLU(W x + b) with
`hidden` outputs. An empty bag has the bias alone.
T trial, N instance, B breast, D encoder dimension, C channel, O answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tilebank.errors import HeadError
from tilebank.mil.bags.segments import segment_max
from tilebank.mil.contract.dropout import STILL, Draws
from tilebank.mil.contract.outputs import BINARY, Outputs
from tilebank.mil.contract.records import HeadPass, PreparedBags
from tilebank.mil.heads.parts.layers import StackedLinear, generators_of
from tilebank.mil.heads.parts.single_bag import OneBagConfig, OneBagHead, Projection


@dataclass(frozen=True)
class MaxConfig(OneBagConfig):
    """`level`: what the maximum is taken of; `hidden`: width of the layer before it."""

    name: Literal["max"] = "max"
    level: Literal["embedding", "instance"] = "instance"
    hidden: int = 128

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.level not in ("embedding", "instance"):
            raise HeadError(f"head {self.name}: no level {self.level!r}; choose embedding or instance")
        if self.hidden < 1:
            raise HeadError(f"head {self.name}: hidden={self.hidden} must be positive")


class MaxHead(OneBagHead):
    """T heads that pool by the maximum."""

    config: MaxConfig

    def __init__(self, config: MaxConfig, *, dim: int, seeds: Sequence[int], outputs: Outputs = BINARY) -> None:
        super().__init__(config, dim=dim, outputs=outputs)
        generators = generators_of(seeds)  # drawn from in this order: projection, classifier
        self.projection = Projection(dim, config.hidden, instances=config.instances, generators=generators)
        self.classifier = StackedLinear(config.hidden, outputs.count, generators=generators)

    @property
    def pooled_width(self) -> int:
        """C."""
        return self.config.hidden

    @property
    def row_numbers(self) -> int:
        """What the layers hold."""
        return 4 * self.config.hidden + 4 * self.outputs.count

    def run(self, bags: PreparedBags, *, draws: Draws = STILL) -> HeadPass:
        """Logits; a maximum is no attention to show. Dropout leaves out the same channels of all of a bag."""
        rows = self.rows(bags)
        z = self.projection(rows)  # (T, C, N)
        if self.config.level == "embedding":
            pooled = segment_max(z, rows.segments)  # (T, C, B)
            return HeadPass(self.as_logits(self.classifier(draws.thin(pooled))))
        kept = draws.thin(z, owner=rows.segments.owner)
        bias = self.classifier.bias.unsqueeze(2)  # (T, O, 1)
        own = self.classifier(kept) - bias  # (T, O, N)
        return HeadPass(self.as_logits(segment_max(own, rows.segments) + bias))
