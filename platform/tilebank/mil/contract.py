"""What every head is: its settings and its methods. Knows no particular head.

One implementation serves a single head and a pack: every parameter has a leading trial axis T; T = 1 is a head alone.
T trial, B breast, Nt tile, M example (what one term of the loss stands for), C answer, P channel of the pooled vector.
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from tilebank.errors import HeadError
from tilebank.mil.bags import BagBatch
from tilebank.mil.outputs import BINARY, Outputs
from tilebank.mil.ragged import Ragged, prepare_ragged

StreamPooling = Literal["max", "mean", "attention", "none"]
Training = Literal["breast", "instance"]


@dataclass(frozen=True)
class HeadConfig:
    """Which head, and its settings. `none` leaves a stream out; `hidden` and `latent` are a stream's two widths.

    training: `breast` pools vectors and answers once a breast, in fitting as in use. `instance` fits every view or tile
    by itself, with its breast's label, and pools their logits at prediction only; it takes one stream, mean or max.
    """

    name: str = "dual_stream"
    view_pooling: StreamPooling = "max"
    tile_pooling: StreamPooling = "attention"
    training: Training = "breast"
    hidden: int = 16
    latent: int = 8
    l2_normalise: bool = True

    def __post_init__(self) -> None:
        poolings = {self.view_pooling, self.tile_pooling}
        if poolings == {"none"}:
            raise HeadError(f"head {self.name}: view_pooling and tile_pooling are both none; pool at least one stream")
        if self.training not in ("breast", "instance"):
            raise HeadError(f"head {self.name}: no training {self.training!r}; choose breast or instance")
        if self.training == "instance" and poolings not in ({"none", "mean"}, {"none", "max"}):
            raise HeadError(
                f"head {self.name}: training on instances takes one stream pooled by mean or max and the other none,"
                f" not views by {self.view_pooling} and tiles by {self.tile_pooling}"
            )
        if self.hidden < 1 or self.latent < 1:
            raise HeadError(f"head {self.name}: widths hidden={self.hidden}, latent={self.latent} must be positive")


@dataclass(frozen=True, eq=False)
class PreparedBags:
    """What a head computes on, features still as stored: the streams that its settings name; None for one left out."""

    views: Ragged | None
    tiles: Ragged | None


class Head(nn.Module, ABC):
    """T trained heads of one shape, from bags to logits.

    `forward` takes bags as they are stored. A loop over epochs calls `prepare` once, then `logits`: the same numbers.
    Logits are (T, B) for a yes-no question, else (T, B, C): see Outputs.
    """

    def __init__(self, config: HeadConfig, *, dim: int, outputs: Outputs = BINARY) -> None:
        super().__init__()
        self.config = config
        self.dim = dim
        self.outputs = outputs

    @property
    @abstractmethod
    def pooled_width(self) -> int:
        """P, the width of what a breast is pooled to, which dropout acts on."""

    @abstractmethod
    def logits(self, bags: PreparedBags, *, keep: Tensor | None = None) -> Tensor:
        """Before the sigmoid or softmax: (T, B) or (T, B, C). `keep` (T, P, B) multiplies the pooled vectors."""

    @abstractmethod
    def tile_weights(self, bags: PreparedBags) -> Tensor:
        """Attention of every tile, normalised over its breast: (T, Nt). Raises HeadError without tile attention."""

    def example_logits(self, bags: PreparedBags, *, keep: Tensor | None = None) -> Tensor:
        """What the loss is taken on: (T, M) or (T, M, C). An example is a breast, unless a head says otherwise."""
        return self.logits(bags, keep=keep)

    def example_owner(self, bags: PreparedBags) -> Tensor | None:  # noqa: ARG002 (of heads that fit instances)
        """The breast of each example (M,), or None where breasts are the examples."""
        return None

    def count_examples(self, bags: BagBatch) -> int:
        """M of `bags`."""
        return len(bags)

    @property
    def trials(self) -> int:
        """T, the number of heads in this pack."""
        return len(next(self.parameters()))

    def relevant(self, bags: BagBatch) -> BagBatch:
        """`bags` without the vectors of a stream that this head leaves out: they need not be moved or counted."""
        return bags.without(views=self.config.view_pooling == "none", tiles=self.config.tile_pooling == "none")

    def prepare(self, bags: BagBatch) -> PreparedBags:
        """The streams that this head reads, features not copied. Raises HeadError for bags of another dimension."""
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
        """Logits of stored bags: (T, B) or (T, B, C)."""
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
