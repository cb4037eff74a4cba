"""Base classes of heads and their settings.

One implementation serves a single head and a pack: every parameter and buffer has a leading trial axis T, and a single
head has T = 1. To write a head, subclass `HeadConfig` and `Head`; most heads see a breast as one bag and start from
`SingleBagConfig` and `SingleBagHead` (heads/parts/single_bag.py) instead.
T trial, B breast, Nt tile, M example (one term of the loss), C output, P pooled channel, W uniform number.
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from tilebank.errors import HeadError
from tilebank.mil.bags.bags import BagBatch
from tilebank.mil.bags.ragged import prepare_ragged
from tilebank.mil.contract.dropout import NO_NOISE, StepNoise
from tilebank.mil.contract.outputs import BINARY, Outputs
from tilebank.mil.contract.records import Attention, Criterion, ForwardPass, Losses, PreparedBags

Training = Literal["breast", "instance"]


@dataclass(frozen=True)
class HeadConfig(ABC):
    """Settings that all heads share. Each head has its own subclass with its own `name`."""

    name: str
    l2_normalise: bool = True

    @property
    @abstractmethod
    def views_by(self) -> str:
        """The pooling of views as one word for tables; `none` if the head does not read views."""

    @property
    @abstractmethod
    def tiles_by(self) -> str:
        """The pooling of tiles as one word for tables; `none` if the head does not read tiles."""

    @abstractmethod
    def tiles_only(self) -> Self:
        """The same settings without views, for benchmarks whose bags hold tiles only."""

    @property
    def fitted_on(self) -> Training:
        """What one training example is: a breast, or a single instance (pooled at prediction only)."""
        return "breast"


class Head(nn.Module, ABC):
    """A pack of T heads of one architecture, from bags to logits.

    `forward` takes bags as they are stored. Training calls `prepare` once, then `run` or `losses` in every epoch; both
    give the same numbers. Logits are (T, B) for a binary output and (T, B, C) otherwise, see Outputs.
    """

    order_matters: ClassVar[bool] = False  # True: the order of instances in a bag changes the logits, by definition

    def __init__(self, config: HeadConfig, *, dim: int, outputs: Outputs = BINARY) -> None:
        super().__init__()
        self.config = config
        self.dim = dim
        self.outputs = outputs

    @property
    @abstractmethod
    def pooled_width(self) -> int:
        """P, the width of the pooled vector of a breast, on which dropout acts."""

    @property
    @abstractmethod
    def floats_per_instance(self) -> int:
        """How many float32 values one trial holds per instance, forward and backward: sets the micro-batch size."""

    @abstractmethod
    def run(self, bags: PreparedBags, *, noise: StepNoise = NO_NOISE) -> ForwardPass:
        """Forward pass over prepared bags; `noise` holds a training step's dropout mask and noise."""

    @property
    def noise_width(self) -> int:
        """W, how many uniform numbers per breast and step the head wants in `StepNoise.uniform`."""
        return 0

    def losses(self, bags: PreparedBags, labels: Tensor, *, criterion: Criterion, noise: StepNoise) -> Losses:
        """The training losses. By default one example per breast and no extra term."""
        return Losses(criterion(self.run(bags, noise=noise).logits, labels))

    @property
    def trials(self) -> int:
        """T, the number of heads in this pack."""
        return len(next(self.parameters()))

    def after_step(self) -> None:
        """Hook, called after each optimizer step without autograd."""
        return

    def count_examples(self, bags: BagBatch) -> int:
        """M, the number of training examples in `bags`."""
        return len(bags)

    def drop_unused(self, bags: BagBatch) -> BagBatch:
        """`bags` without the kinds of vectors that this head does not read, to save memory."""
        return bags.without(views=self.config.views_by == "none", tiles=self.config.tiles_by == "none")

    def prepare(self, bags: BagBatch) -> PreparedBags:
        """The kinds that this head reads; features are not copied. Raises HeadError if the dimension differs."""
        if bags.dim != self.dim:
            raise HeadError(f"bags hold vectors of {bags.dim} numbers, this head reads {self.dim}; use its own encoder")
        normalise, config = self.config.l2_normalise, self.config
        return PreparedBags(
            views=None
            if config.views_by == "none"
            else prepare_ragged(bags.view_features, bags.view_offsets, l2_normalise=normalise),
            tiles=None
            if config.tiles_by == "none"
            else prepare_ragged(bags.tile_features, bags.tile_offsets, l2_normalise=normalise),
        )

    def forward(self, bags: BagBatch) -> Tensor:
        """Logits of stored bags: (T, B) or (T, B, C)."""
        return self.run(self.prepare(bags)).logits

    def attention(self, bags: BagBatch) -> Tensor:
        """Attention weight of every tile of stored bags: (T, Nt). Raises HeadError if tiles have no attention.

        The weights of a breast's tiles sum to one; if views share the bag, tiles and views together sum to one.
        """
        prepared = self.prepare(bags)
        attention = self.run(prepared).attention
        weights = None if attention is None else _tile_weights(attention, prepared)
        if weights is None:
            raise HeadError(
                f"this {self.config.name} head pools tiles by {self.config.tiles_by} and has no attention on them;"
                " fit a head that pools tiles by attention"
            )
        return weights

    def as_logits(self, values: Tensor) -> Tensor:
        """The last layer's output (T, C, M) as logits: (T, M) for a binary output, else (T, M, C)."""
        return values.squeeze(1) if self.outputs.kind == "binary" else values.transpose(1, 2)

    def select(self, trials: Sequence[int]) -> "Head":
        """A copy of the heads at these positions, in that order."""
        picked = copy.deepcopy(self)
        for held in (*picked.parameters(), *picked.buffers()):
            held.data = held.data[torch.as_tensor(trials, dtype=torch.int64, device=held.device)]
        return picked


def _tile_weights(attention: Attention, bags: PreparedBags) -> Tensor | None:
    if attention.rows is bags.tiles:
        return attention.weights
    if bags.merged is not None and attention.rows is bags.merged:
        return attention.weights[:, bags.merged.tile_rows]
    return None
