"""What every head is: its settings and its methods. Knows no particular head.

One implementation serves a single head and a pack: every parameter has a leading trial axis T; T = 1 is a head alone.
T trial, B breast, Nt tile.
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from tilebank.errors import HeadError
from tilebank.mil.bags import BagBatch, Ragged, prepare_ragged

StreamPooling = Literal["max", "mean", "attention", "none"]


@dataclass(frozen=True)
class HeadConfig:
    """Which head, and its settings. `none` leaves a stream out; `hidden` and `latent` are a stream's two widths."""

    name: str = "dual_stream"
    view_pooling: StreamPooling = "max"
    tile_pooling: StreamPooling = "attention"
    hidden: int = 16
    latent: int = 8
    l2_normalise: bool = True

    def __post_init__(self) -> None:
        if self.view_pooling == self.tile_pooling == "none":
            raise HeadError(f"head {self.name}: view_pooling and tile_pooling are both none; pool at least one stream")
        if self.hidden < 1 or self.latent < 1:
            raise HeadError(f"head {self.name}: widths hidden={self.hidden}, latent={self.latent} must be positive")


@dataclass(frozen=True, eq=False)
class PreparedBags:
    """What a head computes on: float32 features, normalised if its settings say so; None for a stream left out."""

    views: Ragged | None
    tiles: Ragged | None


class Head(nn.Module, ABC):
    """T trained heads of one shape, from bags to logits.

    `forward` takes bags as they are stored. A loop over epochs calls `prepare` once, then `logits`: the same numbers.
    """

    def __init__(self, config: HeadConfig, *, dim: int) -> None:
        super().__init__()
        self.config = config
        self.dim = dim

    @abstractmethod
    def logits(self, bags: PreparedBags) -> Tensor:
        """One number a trial and breast, before the sigmoid: (T, B)."""

    @abstractmethod
    def tile_weights(self, bags: PreparedBags) -> Tensor:
        """Attention of every tile, normalised over its breast: (T, Nt). Raises HeadError without tile attention."""

    @property
    def trials(self) -> int:
        """T, the number of heads in this pack."""
        return len(next(self.parameters()))

    def prepare(self, bags: BagBatch) -> PreparedBags:
        """float32 features of the streams that this head reads. Raises HeadError for bags of another dimension."""
        if bags.dim != self.dim:
            raise HeadError(f"bags hold vectors of {bags.dim} numbers, this head reads {self.dim}; use its own encoder")
        normalise, config = self.config.l2_normalise, self.config
        return PreparedBags(
            views=None
            if config.view_pooling == "none"
            else prepare_ragged(bags.view_features, bags.view_offsets, l2_normalise=normalise),
            tiles=None
            if config.tile_pooling == "none"
            else prepare_ragged(bags.tile_features, bags.tile_offsets, l2_normalise=normalise),
        )

    def forward(self, bags: BagBatch) -> Tensor:
        """Logits of stored bags: (T, B)."""
        return self.logits(self.prepare(bags))

    def attention(self, bags: BagBatch) -> Tensor:
        """Attention of every tile of stored bags, normalised over its breast: (T, Nt). Raises HeadError without it."""
        return self.tile_weights(self.prepare(bags))

    def select(self, trials: Sequence[int]) -> "Head":
        """A pack of the heads at `trials`, in that order, with weights of their own."""
        picked = copy.deepcopy(self)
        for parameter in picked.parameters():
            chosen = torch.as_tensor(trials, dtype=torch.int64, device=parameter.device)
            parameter.data = parameter.data[chosen]
        return picked
