"""Max pooling, over instance vectors or over instance logits.

The two approaches of Ilse, Tomczak and Welling (ICML 2018, section 2.2), each with the maximum. `embedding`: the
largest value of each channel of f(x_i) over the bag, then Linear(C, outputs). `instance`: Linear(C, outputs) on every
f(x_i); the largest logit is the breast's, so a step trains one instance per bag and output. f is ReLU(W x + b) with
`hidden` outputs. An empty bag gets the bias. T trial, N instance, B breast, D encoder dimension, C channel, O output.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tilebank.errors import HeadError
from tilebank.mil.bags.segments import segment_max
from tilebank.mil.contract.dropout import NO_NOISE, StepNoise
from tilebank.mil.contract.outputs import BINARY, Outputs
from tilebank.mil.contract.records import ForwardPass, PreparedBags
from tilebank.mil.heads.parts.layers import StackedLinear, generators_of
from tilebank.mil.heads.parts.single_bag import Projection, SingleBagConfig, SingleBagHead


@dataclass(frozen=True)
class MaxConfig(SingleBagConfig):
    """`level`: max over instance vectors (embedding) or logits (instance); `hidden`: width of the layer before."""

    name: Literal["max"] = "max"
    level: Literal["embedding", "instance"] = "instance"
    hidden: int = 128

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.level not in ("embedding", "instance"):
            raise HeadError(f"head {self.name}: no level {self.level!r}; choose embedding or instance")
        if self.hidden < 1:
            raise HeadError(f"head {self.name}: hidden={self.hidden} must be positive")


class MaxHead(SingleBagHead):
    """T max-pooling heads."""

    config: MaxConfig

    def __init__(self, config: MaxConfig, *, dim: int, seeds: Sequence[int], outputs: Outputs = BINARY) -> None:
        super().__init__(config, dim=dim, outputs=outputs)
        generators = generators_of(seeds)  # used in this order: projection, classifier
        self.projection = Projection(dim, config.hidden, instances=config.instances, generators=generators)
        self.classifier = StackedLinear(config.hidden, outputs.count, generators=generators)

    @property
    def pooled_width(self) -> int:
        """C."""
        return self.config.hidden

    @property
    def floats_per_instance(self) -> int:
        """Activations of the layers, with gradients."""
        return 4 * self.config.hidden + 4 * self.outputs.count

    def run(self, bags: PreparedBags, *, noise: StepNoise = NO_NOISE) -> ForwardPass:
        """Logits, without attention. Dropout drops the same channels for all instances of a bag."""
        rows = self.rows(bags)
        z = self.projection(rows)  # (T, C, N)
        if self.config.level == "embedding":
            pooled = segment_max(z, rows.segments)  # (T, C, B)
            return ForwardPass(self.as_logits(self.classifier(noise.dropout(pooled))))
        kept = noise.dropout(z, owner=rows.segments.owner)
        bias = self.classifier.bias.unsqueeze(2)  # (T, O, 1)
        logits = self.classifier(kept) - bias  # (T, O, N)
        return ForwardPass(self.as_logits(segment_max(logits, rows.segments) + bias))
