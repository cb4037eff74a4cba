"""Base classes of heads that see a breast as one bag: its tiles, its views, or both together.

If the bag holds both kinds, a learned vector is added to views so that a head can tell them from tiles (Projection).
T trial, N instance of the bag, D encoder dimension, C channel.
"""

from abc import ABC
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

import torch
from torch import Tensor, nn

from tilebank.errors import HeadError
from tilebank.mil.bags.bags import BagBatch
from tilebank.mil.bags.ragged import Merged, Rows, merge_ragged
from tilebank.mil.contract.head import Head, HeadConfig
from tilebank.mil.contract.records import PreparedBags
from tilebank.mil.heads.parts.layers import StackedLinear

Instances = Literal["tiles", "views", "both"]


@dataclass(frozen=True)
class SingleBagConfig(HeadConfig, ABC):
    """`instances`: what the bag of a breast holds: tiles, views or both."""

    instances: Instances = "both"

    def __post_init__(self) -> None:
        if self.instances not in ("tiles", "views", "both"):
            raise HeadError(f"head {self.name}: no instances {self.instances!r}; choose tiles, views or both")

    @property
    def views_by(self) -> str:
        """The head's name, or `none`."""
        return "none" if self.instances == "tiles" else self.name

    @property
    def tiles_by(self) -> str:
        """The head's name, or `none`."""
        return "none" if self.instances == "views" else self.name

    def tiles_only(self) -> Self:
        """The same settings with `instances: tiles`."""
        return replace(self, instances="tiles")


class SingleBagHead(Head):
    """A head that pools one bag of rows per breast."""

    config: SingleBagConfig

    def prepare(self, bags: BagBatch) -> PreparedBags:
        """The kinds that the bag holds, merged if there are two. Raises HeadError if the dimension differs."""
        prepared = super().prepare(bags)
        if prepared.views is None or prepared.tiles is None:
            return prepared
        return replace(prepared, merged=merge_ragged(prepared.views, prepared.tiles))

    def rows(self, bags: PreparedBags) -> Rows:
        """The rows of the one bag."""
        return next(rows for rows in (bags.merged, bags.tiles, bags.views) if rows is not None)


class Projection(nn.Module):
    """First layer on the rows of a bag: ReLU(W x + b), and ReLU(W x + b + e) for views in a bag of both kinds."""

    def __init__(self, dim: int, width: int, *, instances: Instances, generators: Sequence[torch.Generator]) -> None:
        super().__init__()
        self.linear = StackedLinear(dim, width, generators=generators)
        trials = len(generators)
        # Starts at zero: at first both kinds are treated alike.
        self.view_shift = nn.Parameter(torch.zeros(trials, width)) if instances == "both" else None  # (T, C)

    def forward(self, rows: Rows) -> Tensor:
        """(N, D) -> (T, C, N)."""
        z: Tensor = self.linear(rows.read())
        if self.view_shift is not None and isinstance(rows, Merged):
            z = torch.addcmul(z, self.view_shift.unsqueeze(2), rows.is_view)
        return torch.relu(z)
