"""Mean pooling: the simplest head, and the baseline for all others.

The embedding-level approach of Ilse, Tomczak and Welling (ICML 2018, section 2.2): z = mean_i f(x_i) over the bag, then
Linear(P, outputs). f is ReLU(W x + b) with `hidden` outputs; with `hidden: 0` it is the identity, which makes the head
a logistic regression on a breast's mean vector (D + 1 parameters for a binary output).
T trial, N instance, B breast, D encoder dimension, C channel, O output.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tilebank.errors import HeadError
from tilebank.mil.bags.segments import segment_mean
from tilebank.mil.contract.dropout import NO_NOISE, StepNoise
from tilebank.mil.contract.outputs import BINARY, Outputs
from tilebank.mil.contract.records import ForwardPass, PreparedBags
from tilebank.mil.heads.parts.layers import StackedLinear, generators_of
from tilebank.mil.heads.parts.single_bag import Projection, SingleBagConfig, SingleBagHead


@dataclass(frozen=True)
class MeanConfig(SingleBagConfig):
    """`hidden`: width of the layer before the mean; 0: no layer, and views and tiles are treated alike."""

    name: Literal["mean"] = "mean"
    hidden: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hidden < 0:
            raise HeadError(f"head {self.name}: hidden={self.hidden} must be at least 0")


class MeanHead(SingleBagHead):
    """T mean-pooling heads."""

    config: MeanConfig

    def __init__(self, config: MeanConfig, *, dim: int, seeds: Sequence[int], outputs: Outputs = BINARY) -> None:
        super().__init__(config, dim=dim, outputs=outputs)
        generators = generators_of(seeds)  # used in this order: projection, classifier
        self.projection = (
            Projection(dim, config.hidden, instances=config.instances, generators=generators) if config.hidden else None
        )
        self.classifier = StackedLinear(self.pooled_width, outputs.count, generators=generators)

    @property
    def pooled_width(self) -> int:
        """P: `hidden`, or D."""
        return self.config.hidden or self.dim

    @property
    def floats_per_instance(self) -> int:
        """Activations of the one layer, with gradients."""
        return 4 * self.config.hidden

    def run(self, bags: PreparedBags, *, noise: StepNoise = NO_NOISE) -> ForwardPass:
        """Logits, without attention."""
        rows = self.rows(bags)
        if self.projection is None:
            pooled = segment_mean(rows.read().T, rows.segments).expand(self.trials, -1, -1)  # (T, D, B)
        else:
            pooled = segment_mean(self.projection(rows), rows.segments)  # (T, C, B)
        return ForwardPass(self.as_logits(self.classifier(noise.dropout(pooled))))
