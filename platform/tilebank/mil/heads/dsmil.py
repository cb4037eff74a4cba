"""DSMIL: the highest-scoring instance, and attention by similarity to it.

Li, Li and Eliceiri (CVPR 2021): h_i = ReLU(W x_i + b); for each output, m is the instance of the highest score
w_0 . h_i, q = W_q h + b_q, and
    a_i = softmax_i(q_i . q_m / sqrt(Q)),    logit = (w_0 . h_m + w_b . sum_i a_i h_i) / 2
where w_b reads the pooled vectors of all outputs. The loss is the mean of both streams' losses. sqrt(Q) is from the
released code. The paper's W_v before the sum would be one more linear map before w_b; it is left out, as in that code's
default. The paper has no layer before h; ours lets the head tell views from tiles. Because q_i . q_m = h_i . (W_q' q_m)
+ b_q . q_m and softmax cancels the last term, no q_i is computed: one direction per bag instead of Q.
Published Q: 128. T trial, N instance, B breast, C channel, O output.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from tilebank.errors import HeadError
from tilebank.mil.bags.ragged import Rows
from tilebank.mil.bags.segments import segment_softmax, segment_sum
from tilebank.mil.contract.dropout import NO_NOISE, StepNoise
from tilebank.mil.contract.outputs import BINARY, Outputs
from tilebank.mil.contract.records import Attention, Criterion, ForwardPass, Losses, PreparedBags
from tilebank.mil.heads.parts.layers import StackedLinear, generators_of
from tilebank.mil.heads.parts.segment_matmul import segment_linear, segment_matmul
from tilebank.mil.heads.parts.segment_sort import segment_ranks
from tilebank.mil.heads.parts.single_bag import Projection, SingleBagConfig, SingleBagHead


@dataclass(frozen=True)
class DsmilConfig(SingleBagConfig):
    """`hidden` and `query`: widths of h and of q."""

    name: Literal["dsmil"] = "dsmil"
    hidden: int = 128
    query: int = 128

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.hidden, self.query) < 1:
            raise HeadError(f"head {self.name}: widths hidden={self.hidden}, query={self.query} must be positive")


@dataclass(frozen=True, eq=False)
class _Streams:
    """Outputs of the highest instance and of the bag, (T, O, B) each, and attention (T, O, N)."""

    highest: Tensor
    bag: Tensor
    weights: Tensor


class Dsmil(SingleBagHead):
    """T heads of an instance stream and a bag stream."""

    config: DsmilConfig

    def __init__(self, config: DsmilConfig, *, dim: int, seeds: Sequence[int], outputs: Outputs = BINARY) -> None:
        super().__init__(config, dim=dim, outputs=outputs)
        generators = generators_of(seeds)  # used in this order: projection, instance, query, bag
        self.projection = Projection(dim, config.hidden, instances=config.instances, generators=generators)
        self.instance = StackedLinear(config.hidden, outputs.count, generators=generators)
        self.query = StackedLinear(config.hidden, config.query, generators=generators)
        self.bag = StackedLinear(self.pooled_width, outputs.count, generators=generators)

    @property
    def pooled_width(self) -> int:
        """C for each output."""
        return self.config.hidden * self.outputs.count

    @property
    def floats_per_instance(self) -> int:
        """h; per output its scores, argmax, and attention before and after softmax; and gradients."""
        return 6 * self.config.hidden + 12 * self.outputs.count

    def run(self, bags: PreparedBags, *, noise: StepNoise = NO_NOISE) -> ForwardPass:
        """Logits, and the attention of the bag stream, mean over outputs."""
        rows = self.rows(bags)
        streams = self._forward(rows, noise)
        logits = self.as_logits((streams.highest + streams.bag) / 2)
        return ForwardPass(logits, Attention(streams.weights.mean(dim=1), rows))

    def losses(self, bags: PreparedBags, labels: Tensor, *, criterion: Criterion, noise: StepNoise) -> Losses:
        """The mean of both streams' losses."""
        streams = self._forward(self.rows(bags), noise)
        losses = [criterion(self.as_logits(values), labels) for values in (streams.highest, streams.bag)]
        return Losses((losses[0] + losses[1]) / 2)

    def _forward(self, rows: Rows, noise: StepNoise) -> _Streams:
        segments = rows.segments
        h = self.projection(rows)  # (T, C, N)
        scores = self.instance(h)  # (T, O, N)
        is_highest = (segment_ranks(scores, segments) == 0).to(h.dtype)
        highest = segment_matmul(is_highest, h, segments)  # (T, O, B, C)
        query = self.query(highest.flatten(1, 2).mT)  # (T, Q, O x B)
        directions = (query.mT @ self.query.weight / math.sqrt(self.config.query)).view_as(highest)
        weights = segment_softmax(segment_linear(directions, h, segments), segments)  # (T, O, N)
        pooled = segment_matmul(weights, h, segments)  # (T, O, B, C)
        pooled = pooled.transpose(2, 3).reshape(self.trials, -1, len(segments.lengths))  # (T, O x C, B)
        bag = self.bag(noise.dropout(pooled))
        return _Streams(segment_sum(is_highest * scores, segments), bag, weights)
