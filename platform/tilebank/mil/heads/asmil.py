"""ASMIL: several learned tokens attend over the bag, with attention stabilised by an anchor.

Ye et al. (ICLR 2026, arXiv 2603.06658): h_i = ReLU(W x_i + b); `tokens` FEAT tokens, each with `heads` heads and its
own weights, attend over h (learned_queries.py); a CLS token attends in the same way over their outputs; then a linear
layer. In training the anchor (anchor.py), a copy of all layers that score h, regularises each token's attention, and
every token is dropped from the input of CLS with probability `drop`: the number kept is Binomial(tokens, 1 - drop). If
none would be kept, one random token is. Inference uses neither anchor nor drop.

`as_released` reproduces, for comparison, how the authors' code (5d06227) differs from their paper. There the anchor has
random weights of its own, neither copied nor updated; the added loss is the cross-entropy -a'_i log a_i as the mean
over a bag's instances, which divides it by their number; exactly round(drop tokens) tokens are dropped; tokens start
with a standard deviation of 1e-6, not 1. Its dropout inside attention (0.1) is left out, because TrialConfig.dropout
acts on CLS. Its scripts set the temperature to 0.5.
T trial, N instance, B breast, Q token, K head, C channel, O output.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from tilebank.errors import HeadError
from tilebank.mil.bags.ragged import Rows
from tilebank.mil.bags.segments import segment_log_softmax, segment_mean
from tilebank.mil.contract.dropout import NO_NOISE, StepNoise
from tilebank.mil.contract.outputs import BINARY, Outputs
from tilebank.mil.contract.records import Attention, Criterion, ForwardPass, Losses, PreparedBags
from tilebank.mil.heads.parts.anchor import Anchor, AnchorConfig
from tilebank.mil.heads.parts.layers import StackedLinear, generators_of
from tilebank.mil.heads.parts.learned_queries import LearnedQueries, ValueProjection
from tilebank.mil.heads.parts.segment_matmul import segment_matmul
from tilebank.mil.heads.parts.single_bag import Projection, SingleBagConfig, SingleBagHead

_RELEASED_SPREAD = 1e-6  # initial standard deviation of tokens in the released code; we found none in the paper


@dataclass(frozen=True)
class AsmilConfig(SingleBagConfig):
    """`hidden`: C; `drop`: probability that a token is dropped in a training step; `anchor`: None for no anchor.

    Vectors are not normalised by default: at length one all scores start nearly equal.
    """

    name: Literal["asmil"] = "asmil"
    l2_normalise: bool = False
    tokens: int = 8
    heads: int = 8
    hidden: int = 128
    drop: float = 0.5
    anchor: AnchorConfig | None = field(default_factory=AnchorConfig)
    as_released: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.tokens, self.heads, self.hidden) < 1 or self.hidden % self.heads:
            raise HeadError(
                f"head {self.name}: tokens={self.tokens}, heads={self.heads} and hidden={self.hidden} must be positive,"
                " and hidden a multiple of heads"
            )
        if not 0 <= self.drop < 1:
            raise HeadError(f"head {self.name}: drop {self.drop} must be at least 0 and below 1")


@dataclass(frozen=True, eq=False)
class _TokenPass:
    """Log attention of the tokens (T, Q K, N), attention of CLS to the tokens (T, Q, B), and logits."""

    log_weights: Tensor
    cls_weights: Tensor
    logits: Tensor


class Asmil(SingleBagHead):
    """T heads."""

    config: AsmilConfig

    def __init__(self, config: AsmilConfig, *, dim: int, seeds: Sequence[int], outputs: Outputs = BINARY) -> None:
        super().__init__(config, dim=dim, outputs=outputs)
        generators = generators_of(seeds)
        tokens, heads, width = config.tokens, config.heads, config.hidden
        self.scorer = _Scorer(config, dim=dim, generators=generators)
        self.values = ValueProjection(tokens, width, heads=heads, generators=generators)
        self.cls = LearnedQueries(1, width, heads=heads, generators=generators, spread=_spread(config))
        self.cls_values = ValueProjection(1, width, heads=heads, generators=generators)
        self.classifier = StackedLinear(width, outputs.count, generators=generators)
        # Created last, so that the initial weights of the online branch do not depend on the anchor.
        source = _Scorer(config, dim=dim, generators=generators) if config.as_released else self.scorer
        self.anchor = None if config.anchor is None else Anchor(source, config.anchor)

    @property
    def pooled_width(self) -> int:
        """C, the width of CLS."""
        return self.config.hidden

    @property
    def floats_per_instance(self) -> int:
        """h of both branches; scores and weights of each token's heads, of the anchor too; and gradients."""
        return 6 * self.config.hidden + 14 * self.config.tokens * self.config.heads

    @property
    def noise_width(self) -> int:
        """One number per token, to decide whether it is kept."""
        return self.config.tokens if self.config.drop else 0

    def run(self, bags: PreparedBags, *, noise: StepNoise = NO_NOISE) -> ForwardPass:
        """Logits, and the attention of the tokens (mean over heads) weighted by the attention of CLS to each."""
        rows = self.rows(bags)
        passed = self._forward(rows, noise)
        heads = passed.log_weights.exp().view(self.trials, self.config.tokens, self.config.heads, -1)  # (T, Q, K, N)
        weights = (heads.mean(dim=2) * passed.cls_weights[..., rows.segments.owner]).sum(dim=1)  # (T, N)
        return ForwardPass(passed.logits, Attention(weights, rows))

    def losses(self, bags: PreparedBags, labels: Tensor, *, criterion: Criterion, noise: StepNoise) -> Losses:
        """The losses of the breasts, and the anchor's."""
        rows = self.rows(bags)
        passed = self._forward(rows, noise)
        examples = criterion(passed.logits, labels)
        if self.anchor is None:
            return Losses(examples)
        if not self.config.as_released:
            return Losses(examples, self.anchor.loss(self.scorer, passed.log_weights, rows))
        target = self.anchor.log_weights(self.scorer, rows).exp()
        released = -segment_mean(target * passed.log_weights, rows.segments).mean(dim=1)  # (T, B)
        return Losses(examples, self.anchor.config.weight * released)

    def after_step(self) -> None:
        """Update the anchor."""
        if self.anchor is not None and not self.config.as_released:
            self.anchor.update(self.scorer)

    def _forward(self, rows: Rows, noise: StepNoise) -> _TokenPass:
        h, scores = self.scorer(rows)
        log_weights = segment_log_softmax(scores, rows.segments)
        outputs = self.values(segment_matmul(log_weights.exp(), h, rows.segments))  # (T, Q, B, C)
        cls_scores = torch.einsum("tkc,tqbc->tkqb", self.cls(), outputs)  # (T, K, Q, B)
        kept = self._kept_tokens(noise)
        if kept is not None:
            cls_scores = cls_scores.masked_fill(~kept.unsqueeze(1), -torch.inf)
        weights = torch.softmax(cls_scores, dim=2)
        pooled = self.cls_values(torch.einsum("tkqb,tqbc->tkbc", weights, outputs)).squeeze(1).mT  # (T, C, B)
        values = self.classifier(noise.dropout(pooled))
        return _TokenPass(log_weights, weights.mean(dim=1), self.as_logits(values))

    def _kept_tokens(self, noise: StepNoise) -> Tensor | None:
        """Which tokens of each breast are kept for CLS: (T, Q, B) bool; None for all."""
        if noise.uniform is None:
            return None
        rank = noise.uniform.argsort(dim=1, descending=True).argsort(dim=1)  # 0 for the highest
        if self.config.as_released:
            return rank < max(1, self.config.tokens - round(self.config.drop * self.config.tokens))
        return (noise.uniform >= self.config.drop) | (rank == 0)


def _spread(config: AsmilConfig) -> float:
    return _RELEASED_SPREAD if config.as_released else 1.0


class _Scorer(nn.Module):
    """Rows of bags -> h (T, C, N) and the scores of every token's heads (T, Q K, N). The anchor copies this module."""

    def __init__(self, config: AsmilConfig, *, dim: int, generators: Sequence[torch.Generator]) -> None:
        super().__init__()
        self.projection = Projection(dim, config.hidden, instances=config.instances, generators=generators)
        self.queries = LearnedQueries(
            config.tokens, config.hidden, heads=config.heads, generators=generators, spread=_spread(config)
        )

    def forward(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """(N, D) -> (T, C, N), (T, Q K, N)."""
        h = self.projection(rows)
        return h, self.queries() @ h
