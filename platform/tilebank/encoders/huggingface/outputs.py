"""Take the vector from a network's outputs: class token, patch mean, pooling head or projection.

Letters: N images, T tokens, D width of the network, E width of the projection.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Projection:
    """The owner's own last step, a linear map: weight (E, D), bias (E,)."""

    weight: Tensor
    bias: Tensor


@dataclass(frozen=True)
class States:
    """What a network gave, in float32: tokens (N, T, D) of a transformer or a map (N, D, h, w) of a CNN.

    pooled: the output of its own attention pooling head (N, D). first_patch: class and register tokens come before it.
    """

    last: Tensor
    pooled: Tensor | None
    first_patch: int
    projection: Projection | None


@dataclass(frozen=True)
class Output:
    """One way to a vector. widths: how many times the network's width it has; 0 for the projection's own."""

    take: Callable[[States], Tensor]
    widths: int = 1


def take_cls(states: States) -> Tensor:
    """The class token (N, D)."""
    return states.last[:, 0]


def take_patch_mean(states: States) -> Tensor:
    """The mean of the patch tokens (N, D)."""
    return states.last[:, states.first_patch :].mean(dim=1)


def take_map(states: States) -> Tensor:
    """The output of the attention pooling head (N, D)."""
    if states.pooled is None:
        raise TypeError("this network has no attention pooling head")
    return states.pooled


def take_pooled(states: States) -> Tensor:
    """The mean of a CNN's last map over its places (N, D)."""
    return states.last.mean(dim=(2, 3))


def take_projected(states: States) -> Tensor:
    """Class token, or pooled map, through the projection (N, E)."""
    if states.projection is None:
        raise TypeError("this checkpoint has no projection")
    vectors = take_cls(states) if states.last.ndim == 3 else take_pooled(states)
    return torch.nn.functional.linear(vectors, states.projection.weight, states.projection.bias)


OUTPUTS = {
    "cls": Output(take_cls),
    "patch_mean": Output(take_patch_mean),
    "cls_patch_mean": Output(lambda states: torch.cat([take_cls(states), take_patch_mean(states)], dim=1), widths=2),
    "map": Output(take_map),
    "pooled": Output(take_pooled),
    "projected": Output(take_projected, widths=0),
}
