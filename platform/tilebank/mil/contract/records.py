"""What goes into a head and what comes out of one pass over it. Records only; knows no particular head.

T trial, B breast, N instance of the bags that are weighed, M example (what one term of the loss stands for), C answer.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from tilebank.mil.bags.ragged import Merged, Ragged, Rows

Criterion = Callable[[Tensor, Tensor], Tensor]  # logits (T, M) or (T, M, C), labels of M -> losses (T, M)


@dataclass(frozen=True, eq=False)
class PreparedBags:
    """What a head computes on, features still as stored: the kinds that its settings name; None for one left out.

    `merged` is there for heads that put views and tiles in one bag.
    """

    views: Ragged | None
    tiles: Ragged | None
    merged: Merged | None = None


@dataclass(frozen=True, eq=False)
class Attention:
    """How a head weighs the instances of each bag: `weights` (T, N) of `rows`, summing to one over each filled bag."""

    weights: Tensor
    rows: Rows


@dataclass(frozen=True, eq=False)
class HeadPass:
    """One pass: logits before the sigmoid or softmax, (T, B) or (T, B, C), and attention if the head pools by one."""

    logits: Tensor
    attention: Attention | None = None


@dataclass(frozen=True, eq=False)
class Losses:
    """What a step goes down: `examples` (T, M), and `extra` (T, B) a breast, weighted, where a head adds to it."""

    examples: Tensor
    extra: Tensor | None = None
