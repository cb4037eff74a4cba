"""What every head is: its settings and its methods. Knows no particular head.

One implementation serves a single head and a pack: every parameter and buffer has a leading trial axis T; T = 1 is a
head alone. T trial, B breast, Nt tile, M example (what one term of the loss stands for), C answer, P channel of the
pooled vector, W number of noise.
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from tilebank.errors import HeadError
from tilebank.mil.bags.bags import BagBatch
from tilebank.mil.bags.ragged import prepare_ragged
from tilebank.mil.contract.dropout import STILL, Draws
from tilebank.mil.contract.outputs import BINARY, Outputs
from tilebank.mil.contract.records import Attention, Criterion, HeadPass, Losses, PreparedBags

Training = Literal["breast", "instance"]


@dataclass(frozen=True)
class HeadConfig(ABC):
    """What the settings of all heads share. Each head has a class of its own beside it, with a `name` of its own."""

    name: str
    l2_normalise: bool = True

    @property
    @abstractmethod
    def views_by(self) -> str:
        """What pools the views, in a word for tables; `none` where they are not read."""

    @property
    @abstractmethod
    def tiles_by(self) -> str:
        """What pools the tiles, in a word for tables; `none` where they are not read."""

    @property
    def fitted_on(self) -> Training:
        """What an example is in fitting: a breast, or single instances that are pooled in use only."""
        return "breast"


class Head(nn.Module, ABC):
    """T trained heads of one shape, from bags to logits.

    `forward` takes bags as they are stored. A loop over epochs calls `prepare` once, then `run` or `losses`: the same
    numbers. Logits are (T, B) for a yes-no question, else (T, B, C): see Outputs.
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

    @property
    @abstractmethod
    def row_numbers(self) -> int:
        """How many float32 numbers a trial holds for one instance, forward and backward: what pieces are cut by."""

    @abstractmethod
    def run(self, bags: PreparedBags, *, draws: Draws = STILL) -> HeadPass:
        """One pass over bags; `draws` are a fitting step's."""

    @property
    def noise_width(self) -> int:
        """W, how many uniform numbers a breast and step the head wants in `Draws.noise`."""
        return 0

    def losses(self, bags: PreparedBags, labels: Tensor, *, criterion: Criterion, draws: Draws) -> Losses:
        """What a step goes down. An example is a breast, and nothing is added, unless a head says otherwise."""
        return Losses(criterion(self.run(bags, draws=draws).logits, labels))

    @property
    def trials(self) -> int:
        """T, the number of heads in this pack."""
        return len(next(self.parameters()))

    def after_step(self) -> None:
        """Called after each step of the optimiser, outside of autograd."""
        return

    def count_examples(self, bags: BagBatch) -> int:
        """M of `bags`."""
        return len(bags)

    def relevant(self, bags: BagBatch) -> BagBatch:
        """`bags` without the vectors of a kind that this head leaves out: they need not be moved or counted."""
        return bags.without(views=self.config.views_by == "none", tiles=self.config.tiles_by == "none")

    def prepare(self, bags: BagBatch) -> PreparedBags:
        """The kinds that this head reads, features not copied. Raises HeadError for bags of another dimension."""
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
        """What each tile of stored bags has of its bag's attention: (T, Nt). Raises HeadError without any on tiles.

        It sums to one over a breast's tiles; where views share the bag, to one over both together.
        """
        prepared = self.prepare(bags)
        attention = self.run(prepared).attention
        on_tiles = None if attention is None else _of_tiles(attention, prepared)
        if on_tiles is None:
            raise HeadError(
                f"this {self.config.name} pools tiles by {self.config.tiles_by} and has no attention on them to show;"
                " fit a head that has"
            )
        return on_tiles

    def as_logits(self, answers: Tensor) -> Tensor:
        """What a last layer gives, (T, C, M), as logits: (T, M) for a yes-no question, else (T, M, C)."""
        return answers.squeeze(1) if self.outputs.kind == "binary" else answers.transpose(1, 2)

    def select(self, trials: Sequence[int]) -> "Head":
        """A pack of the heads at `trials`, in that order, with weights of their own."""
        picked = copy.deepcopy(self)
        for held in (*picked.parameters(), *picked.buffers()):
            held.data = held.data[torch.as_tensor(trials, dtype=torch.int64, device=held.device)]
        return picked


def _of_tiles(attention: Attention, bags: PreparedBags) -> Tensor | None:
    if attention.rows is bags.tiles:
        return attention.weights
    if bags.merged is not None and attention.rows is bags.merged:
        return attention.weights[:, bags.merged.tile_rows]
    return None
