"""ABMIL: attention-based pooling, plain or gated.

Ilse, Tomczak and Welling (ICML 2018): h_i = ReLU(W x_i + b), then over the bag
    a_i = softmax_i(w . tanh(V h_i)),  gated: a_i = softmax_i(w . (tanh(V h_i) * sigmoid(U h_i)))  (equations 8 and 9)
    z = sum_i a_i h_i                                                                                (equation 7)
and Linear(C, outputs). Published widths: 512 and 128. T trial, N instance, B breast, C channel, A attention channel.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from tilebank.mil.bags.segments import segment_log_softmax
from tilebank.mil.contract.dropout import StepNoise
from tilebank.mil.contract.outputs import BINARY, Outputs
from tilebank.mil.contract.records import Criterion, Losses, PreparedBags
from tilebank.mil.heads.parts.anchor import Anchor, AnchorConfig
from tilebank.mil.heads.parts.attention_head import AttentionConfig, AttentionHead
from tilebank.mil.heads.parts.layers import generators_of


@dataclass(frozen=True)
class AbmilConfig(AttentionConfig):
    """`hidden`, `attention`: widths of h and of V; `gated`: whether to multiply by U; `anchor`: None, or ASMIL's."""

    name: Literal["abmil"] = "abmil"
    gated: bool = True
    anchor: AnchorConfig | None = None


class Abmil(AttentionHead):
    """T attention heads."""

    config: AbmilConfig

    def __init__(self, config: AbmilConfig, *, dim: int, seeds: Sequence[int], outputs: Outputs = BINARY) -> None:
        super().__init__(config, dim=dim, gated=config.gated, generators=generators_of(seeds), outputs=outputs)
        self.anchor = None if config.anchor is None else Anchor(self.scorer, config.anchor)

    @property
    def floats_per_instance(self) -> int:
        """h, weighted h and the attention branches, with gradients; an anchor computes them again without gradients."""
        widths = 6 * self.config.hidden + (8 if self.config.gated else 4) * self.config.attention
        return widths if self.anchor is None else widths * 3 // 2

    def losses(self, bags: PreparedBags, labels: Tensor, *, criterion: Criterion, noise: StepNoise) -> Losses:
        """The losses of the breasts, and the anchor's if there is one."""
        rows = self.rows(bags)
        h, scores = self.scorer(rows)
        examples = criterion(self.pool(h, scores, rows, noise=noise).logits, labels)
        if self.anchor is None:
            return Losses(examples)
        return Losses(examples, self.anchor.loss(self.scorer, segment_log_softmax(scores, rows.segments), rows))

    def after_step(self) -> None:
        """Update the anchor."""
        if self.anchor is not None:
            self.anchor.update(self.scorer)
