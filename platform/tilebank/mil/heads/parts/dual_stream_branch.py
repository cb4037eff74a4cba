"""One stream of the dual-stream head: instances of one kind -> one vector per breast.

Linear(D, H), ReLU, Linear(H, C), ReLU, and a pooling. T trial, N instance, B breast, D encoder dimension, C channel.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from tilebank.errors import HeadError
from tilebank.mil.bags.ragged import Ragged
from tilebank.mil.bags.segments import segment_log_softmax, segment_softmax
from tilebank.mil.contract.records import Attention
from tilebank.mil.heads.parts.anchor import Anchor, AnchorConfig
from tilebank.mil.heads.parts.layers import StackedLinear
from tilebank.mil.heads.parts.pooling import POOLINGS, LatentAttention

StreamPooling = Literal["max", "mean", "attention", "none"]


@dataclass(frozen=True, eq=False)
class StreamOutput:
    """Pooled vectors (T, C, B), and for pooling by attention its scores (T, N) and weights."""

    pooled: Tensor
    scores: Tensor | None = None
    attention: Attention | None = None


class Stream(nn.Module):
    """T streams. `anchor` regularises attention in training; streams without attention ignore it."""

    def __init__(
        self,
        pooling: StreamPooling,
        *,
        dim: int,
        hidden: int,
        latent: int,
        anchor: AnchorConfig | None,
        generators: Sequence[torch.Generator],
    ) -> None:
        super().__init__()
        if pooling not in POOLINGS:
            raise HeadError(f"no pooling {pooling!r}; choose one of {', '.join(POOLINGS)}, none")
        self.first = StackedLinear(dim, hidden, generators=generators)
        self.second = StackedLinear(hidden, latent, generators=generators)
        self.pooling = POOLINGS[pooling](latent, generators)
        self.anchor = Anchor(self, anchor) if anchor is not None and pooling == "attention" else None

    def project(self, rows: Ragged) -> Tensor:
        """(N, D) -> (T, C, N)."""
        return torch.relu(self.second(torch.relu(self.first(rows.read()))))

    def forward(self, rows: Ragged) -> tuple[Tensor, Tensor | None]:
        """Ragged (N, D) -> vectors (T, C, N), and scores (T, N) if the pooling has attention."""
        z = self.project(rows)
        return z, self.pooling.scores(z) if isinstance(self.pooling, LatentAttention) else None

    def pool(self, rows: Ragged) -> StreamOutput:
        """Pool the rows of one kind."""
        z, scores = self(rows)
        if scores is None or not isinstance(self.pooling, LatentAttention):
            return StreamOutput(self.pooling(z, rows.segments))
        weights = segment_softmax(scores, rows.segments)
        return StreamOutput(self.pooling.pool(z, weights, rows.segments), scores, Attention(weights, rows))

    def anchor_loss(self, output: StreamOutput, rows: Ragged) -> Tensor | None:
        """The anchor's loss (T, B); None without an anchor."""
        if self.anchor is None or output.scores is None:
            return None
        return self.anchor.loss(self, segment_log_softmax(output.scores, rows.segments), rows)

    def after_step(self) -> None:
        """Update the anchor."""
        if self.anchor is not None:
            self.anchor.update(self)
