"""ASMIL: several tokens attend over the bag, held steady by a slow anchor. Knows tensors alone.

Ye et al. (ICLR 2026, arXiv 2603.06658): h_i = ReLU(W x_i + b); `tokens` FEAT tokens, each with `heads` heads and
weights of its own, attend over h (learned_queries.py); a CLS token attends likewise over their outputs; then a linear layer.
In fitting, the anchor (anchor.py) has a copy of all that scores h and pulls each token's attention, and every token is
left out of what CLS sees with probability `drop`: the number kept is Binomial(tokens, 1 - drop). Where none would be
kept, one is, at random. In use there is neither anchor nor drop.

`as_released`: for comparison alone, what the authors' code (5d06227) does otherwise than their paper says. There the
anchor keeps random weights of its own, never a copy and never updated; what is added is the cross-entropy -a'_i log a_i
as the mean over a bag's instances, which divides it by their number; exactly round(drop tokens) are dropped; tokens
start with a standard deviation of 1e-6, not 1. Its dropout inside of attention (0.1) is not taken over, as
TrialConfig.dropout acts on CLS. Its scripts set the temperature to 0.5.
T trial, N instance, B breast, Q token, K head, C channel, O answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from tilebank.errors import HeadError
from tilebank.mil.bags.ragged import Rows
from tilebank.mil.bags.segments import segment_log_softmax, segment_matmul, segment_mean
from tilebank.mil.contract.dropout import STILL, Draws
from tilebank.mil.contract.outputs import BINARY, Outputs
from tilebank.mil.contract.records import Attention, Criterion, HeadPass, Losses, PreparedBags
from tilebank.mil.heads.parts.anchor import Anchor, AnchorConfig
from tilebank.mil.heads.parts.layers import StackedLinear, generators_of
from tilebank.mil.heads.parts.learned_queries import Queries, Values
from tilebank.mil.heads.parts.single_bag import OneBagConfig, OneBagHead, Projection

_RELEASED_SPREAD = 1e-6  # of first tokens in the released code; the paper is not known to say


@dataclass(frozen=True)
class AsmilConfig(OneBagConfig):
    """`hidden`: C; `drop`: how probably a token is left out of a step; `anchor`: null for none.

    Vectors are taken as the encoder gives them: brought to length one, they leave all scores nearly alike.
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
                " and heads divide hidden"
            )
        if not 0 <= self.drop < 1:
            raise HeadError(f"head {self.name}: drop {self.drop} must be from 0 up to but not 1")


@dataclass(frozen=True, eq=False)
class _Seen:
    """One pass: the logarithm of the tokens' attention (T, Q K, N), CLS's attention to them (T, Q, B), and logits."""

    log_weights: Tensor
    of_tokens: Tensor
    logits: Tensor


class Asmil(OneBagHead):
    """T heads of several tokens."""

    config: AsmilConfig

    def __init__(self, config: AsmilConfig, *, dim: int, seeds: Sequence[int], outputs: Outputs = BINARY) -> None:
        super().__init__(config, dim=dim, outputs=outputs)
        generators = generators_of(seeds)
        tokens, heads, width = config.tokens, config.heads, config.hidden
        self.scorer = _Scorer(config, dim=dim, generators=generators)
        self.values = Values(tokens, width, heads=heads, generators=generators)
        self.cls = Queries(1, width, heads=heads, generators=generators, spread=_spread(config))
        self.cls_values = Values(1, width, heads=heads, generators=generators)
        self.classifier = StackedLinear(width, outputs.count, generators=generators)
        # Last of all, so that the online branch starts alike whatever its anchor is.
        source = _Scorer(config, dim=dim, generators=generators) if config.as_released else self.scorer
        self.anchor = None if config.anchor is None else Anchor(source, config.anchor)

    @property
    def pooled_width(self) -> int:
        """C, of CLS."""
        return self.config.hidden

    @property
    def row_numbers(self) -> int:
        """h of both branches, and for each token's heads scores, weights, the anchor's, and their gradients."""
        return 6 * self.config.hidden + 14 * self.config.tokens * self.config.heads

    @property
    def noise_width(self) -> int:
        """A number a token: whether it is kept."""
        return self.config.tokens if self.config.drop else 0

    def run(self, bags: PreparedBags, *, draws: Draws = STILL) -> HeadPass:
        """Logits and attention: the tokens' (mean over their heads), weighed by what CLS pays each."""
        rows = self.rows(bags)
        seen = self._see(rows, draws)
        heads = seen.log_weights.exp().view(self.trials, self.config.tokens, self.config.heads, -1)  # (T, Q, K, N)
        weights = (heads.mean(dim=2) * seen.of_tokens[..., rows.segments.owner]).sum(dim=1)  # (T, N)
        return HeadPass(seen.logits, Attention(weights, rows))

    def losses(self, bags: PreparedBags, labels: Tensor, *, criterion: Criterion, draws: Draws) -> Losses:
        """The breasts', and the pull of the anchor."""
        rows = self.rows(bags)
        seen = self._see(rows, draws)
        examples = criterion(seen.logits, labels)
        if self.anchor is None:
            return Losses(examples)
        if not self.config.as_released:
            return Losses(examples, self.anchor.pull(self.scorer, seen.log_weights, rows))
        target = self.anchor.log_weights(self.scorer, rows).exp()
        released = -segment_mean(target * seen.log_weights, rows.segments).mean(dim=1)  # (T, B)
        return Losses(examples, self.anchor.config.weight * released)

    def after_step(self) -> None:
        """The anchor follows."""
        if self.anchor is not None and not self.config.as_released:
            self.anchor.follow(self.scorer)

    def _see(self, rows: Rows, draws: Draws) -> _Seen:
        h, scores = self.scorer(rows)
        log_weights = segment_log_softmax(scores, rows.segments)
        outputs = self.values(segment_matmul(log_weights.exp(), h, rows.segments))  # (T, Q, B, C)
        asked = torch.einsum("tkc,tqbc->tkqb", self.cls(), outputs)  # (T, K, Q, B)
        kept = self._kept(draws)
        if kept is not None:
            asked = asked.masked_fill(~kept.unsqueeze(1), -torch.inf)
        weights = torch.softmax(asked, dim=2)
        pooled = self.cls_values(torch.einsum("tkqb,tqbc->tkbc", weights, outputs)).squeeze(1).mT  # (T, C, B)
        answers = self.classifier(draws.thin(pooled))
        return _Seen(log_weights, weights.mean(dim=1), self.as_logits(answers))

    def _kept(self, draws: Draws) -> Tensor | None:
        """Which tokens CLS sees of each breast: (T, Q, B) bool; None for all."""
        if draws.noise is None:
            return None
        rank = draws.noise.argsort(dim=1, descending=True).argsort(dim=1)  # 0 for the highest
        if self.config.as_released:
            return rank < max(1, self.config.tokens - round(self.config.drop * self.config.tokens))
        return (draws.noise >= self.config.drop) | (rank == 0)


def _spread(config: AsmilConfig) -> float:
    return _RELEASED_SPREAD if config.as_released else 1.0


class _Scorer(nn.Module):
    """The rows of bags -> h (T, C, N) and the scores of every token's heads (T, Q K, N): what the anchor copies."""

    def __init__(self, config: AsmilConfig, *, dim: int, generators: Sequence[torch.Generator]) -> None:
        super().__init__()
        self.projection = Projection(dim, config.hidden, instances=config.instances, generators=generators)
        self.queries = Queries(
            config.tokens, config.hidden, heads=config.heads, generators=generators, spread=_spread(config)
        )

    def forward(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """(N, D) -> (T, C, N), (T, Q K, N)."""
        h = self.projection(rows)
        return h, self.queries() @ h
