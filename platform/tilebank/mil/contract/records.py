"""Inputs and outputs of a head: prepared bags, attention, the result of a forward pass, losses.

T trial, B breast, N instance of the bags that attention weighs, M example (one term of the loss), C output.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from tilebank.mil.bags.ragged import Merged, Ragged, Rows

Criterion = Callable[[Tensor, Tensor], Tensor]  # logits (T, M) or (T, M, C), labels of M -> losses (T, M)


@dataclass(frozen=True, eq=False)
class PreparedBags:
    """Bags as a head reads them, features still as stored. A kind that the head does not read is None.

    `merged` is set for heads that put views and tiles into one bag.
    """

    views: Ragged | None
    tiles: Ragged | None
    merged: Merged | None = None


@dataclass(frozen=True, eq=False)
class Attention:
    """Attention over the instances of each bag: `weights` (T, N) of `rows`, summing to one over each non-empty bag."""

    weights: Tensor
    rows: Rows


@dataclass(frozen=True, eq=False)
class ForwardPass:
    """Logits before the sigmoid or softmax, (T, B) or (T, B, C), and attention if the head pools by attention."""

    logits: Tensor
    attention: Attention | None = None


@dataclass(frozen=True, eq=False)
class Losses:
    """What a training step minimises: `examples` (T, M), plus `extra` (T, B), a weighted term a head may add."""

    examples: Tensor
    extra: Tensor | None = None
