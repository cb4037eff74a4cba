"""A slow copy of what scores instances, and what pulls attention towards it: the anchor of ASMIL. Knows no head.

Ye et al. (ICLR 2026, arXiv 2603.06658). The anchor's weights start as the online ones and follow them at every step,
theta' <- m theta' + (1 - m) theta, without a gradient. It weighs a bag by the normalised sigmoid function, with z' its
scores and tau a temperature (the paper has none),
    NSF: a'_i = s(z'_i / tau) / sum_j s(z'_j / tau),   s(t) = 1 / (1 + exp(-t)),
which flattens what is high and keeps low what is low; the online branch weighs by softmax, a = softmax(z). Fitting adds
    weight * KL(a' || a) = weight * sum_i a'_i (log a'_i - log a_i),   with the gradient weight * (a_i - a'_i) in z_i,
summed over a bag's instances, mean over the queries that score them. Nothing of it is left in use.
T trial, Q query, N instance, B breast.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import logsigmoid

from tilebank.errors import HeadError
from tilebank.mil.bags.ragged import Rows
from tilebank.mil.bags.segments import Segments, segment_log_softmax, segment_sum


@dataclass(frozen=True)
class AnchorConfig:
    """`weight` of the divergence (beta), `temperature` (tau), `momentum` (m) of a step.

    target: what the anchor weighs by; `softmax` is the paper's ablation of the normalised sigmoid.
    """

    weight: float = 1.0
    temperature: float = 1.0
    momentum: float = 0.999
    target: Literal["nsf", "softmax"] = "nsf"

    def __post_init__(self) -> None:
        if self.weight < 0 or self.temperature <= 0 or not 0 <= self.momentum <= 1:
            raise HeadError(
                f"anchor: weight {self.weight} must not be below 0, temperature {self.temperature} above it,"
                f" momentum {self.momentum} from 0 to 1"
            )
        if self.target not in ("nsf", "softmax"):
            raise HeadError(f"anchor: no target {self.target!r}; choose nsf or softmax")


class Anchor(nn.Module):
    """A copy of `scorer`, whose forward maps rows to (vectors, scores (T, N) or (T, Q, N)).

    Its weights are buffers: no gradient, not saved with the head, but picked with a pack's trials.
    """

    def __init__(self, scorer: nn.Module, config: AnchorConfig) -> None:
        super().__init__()
        self.config = config
        for name, weights in scorer.named_parameters():
            self.register_buffer(_place(name), weights.detach().clone(), persistent=False)

    @torch.no_grad()
    def log_weights(self, scorer: nn.Module, rows: Rows) -> Tensor:
        """log a' of every instance, with `scorer` lending its computation: as its scores."""
        held = {name: self.get_buffer(_place(name)) for name, _ in scorer.named_parameters()}
        _, scores = functional_call(scorer, held, (rows,))
        scores = scores / self.config.temperature
        return segment_log_softmax(logsigmoid(scores) if self.config.target == "nsf" else scores, rows.segments)

    def pull(self, scorer: nn.Module, log_weights: Tensor, rows: Rows) -> Tensor:
        """What fitting adds where the online branch weighs `rows` by the exponent of `log_weights`: (T, B)."""
        return self.config.weight * divergence(self.log_weights(scorer, rows), log_weights, rows.segments)

    @torch.no_grad()
    def follow(self, scorer: nn.Module) -> None:
        """One step after the weights of `scorer`."""
        for name, weights in scorer.named_parameters():
            self.get_buffer(_place(name)).lerp_(weights, 1 - self.config.momentum)


def divergence(log_target: Tensor, log_weights: Tensor, segments: Segments) -> Tensor:
    """KL(target || weights) of every bag, mean over queries if there are: (T, N) or (T, Q, N) -> (T, B)."""
    of_bags = segment_sum(log_target.exp() * (log_target - log_weights), segments)
    return of_bags.mean(dim=1) if of_bags.ndim == 3 else of_bags


def _place(name: str) -> str:
    return name.replace(".", "__")  # a buffer's name has no dots
