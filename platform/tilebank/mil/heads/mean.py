"""Mean pooling: the plainest head, and the one that any other has to beat. Knows tensors alone.

The embedding-level approach of Ilse, Tomczak and Welling (ICML 2018, section 2.2): z = mean_i f(x_i) over the bag, then
Linear(P, answers). f is ReLU(W x + b) with `hidden` outputs; with `hidden: 0` it is the vector itself, which makes the
head a logistic regression on a breast's mean vector (D + 1 parameters for a yes-no question).
T trial, N instance, B breast, D encoder dimension, C channel, O answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tilebank.errors import HeadError
from tilebank.mil.bags.segments import segment_mean
from tilebank.mil.contract.dropout import STILL, Draws
from tilebank.mil.contract.outputs import BINARY, Outputs
from tilebank.mil.contract.records import HeadPass, PreparedBags
from tilebank.mil.heads.parts.layers import StackedLinear, generators_of
from tilebank.mil.heads.parts.single_bag import OneBagConfig, OneBagHead, Projection


@dataclass(frozen=True)
class MeanConfig(OneBagConfig):
    """`hidden`: width of the layer before the mean; 0 for none, where views and tiles then count alike."""

    name: Literal["mean"] = "mean"
    hidden: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hidden < 0:
            raise HeadError(f"head {self.name}: hidden={self.hidden} is not below 0")


class MeanHead(OneBagHead):
    """T heads that pool by the mean."""

    config: MeanConfig

    def __init__(self, config: MeanConfig, *, dim: int, seeds: Sequence[int], outputs: Outputs = BINARY) -> None:
        super().__init__(config, dim=dim, outputs=outputs)
        generators = generators_of(seeds)  # drawn from in this order: projection, classifier
        self.projection = (
            Projection(dim, config.hidden, instances=config.instances, generators=generators) if config.hidden else None
        )
        self.classifier = StackedLinear(self.pooled_width, outputs.count, generators=generators)

    @property
    def pooled_width(self) -> int:
        """P: `hidden`, or D."""
        return self.config.hidden or self.dim

    @property
    def row_numbers(self) -> int:
        """What the one layer holds."""
        return 4 * self.config.hidden

    def run(self, bags: PreparedBags, *, draws: Draws = STILL) -> HeadPass:
        """Logits; a mean weighs all alike, so there is no attention to show."""
        rows = self.rows(bags)
        if self.projection is None:
            pooled = segment_mean(rows.read().T, rows.segments).expand(self.trials, -1, -1)  # (T, D, B)
        else:
            pooled = segment_mean(self.projection(rows), rows.segments)  # (T, C, B)
        return HeadPass(self.as_logits(self.classifier(draws.thin(pooled))))
