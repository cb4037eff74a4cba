"""The anchor of ASMIL: an exponential moving average of the attention scorer that regularises its attention.

Ye et al. (ICLR 2026, arXiv 2603.06658). The anchor's weights start as the online weights and are updated at every step,
theta' <- m theta' + (1 - m) theta, without a gradient. It weighs a bag by the normalised sigmoid function, with z' its
scores and tau a temperature (the paper has none),
    NSF: a'_i = s(z'_i / tau) / sum_j s(z'_j / tau),   s(t) = 1 / (1 + exp(-t)),
which flattens high scores and keeps low scores low; the online branch uses softmax, a = softmax(z). Training adds
    weight * KL(a' || a) = weight * sum_i a'_i (log a'_i - log a_i),   with the gradient weight * (a_i - a'_i) in z_i,
summed over a bag's instances, mean over the queries that score them. The anchor is not used at inference.
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

    target: the anchor's normalisation; `softmax` is the paper's ablation of the normalised sigmoid.
    """

    weight: float = 1.0
    temperature: float = 1.0
    momentum: float = 0.999
    target: Literal["nsf", "softmax"] = "nsf"

    def __post_init__(self) -> None:
        if self.weight < 0 or self.temperature <= 0 or not 0 <= self.momentum <= 1:
            raise HeadError(
                f"anchor: weight {self.weight} must be at least 0, temperature {self.temperature} above 0"
                f" and momentum {self.momentum} from 0 to 1"
            )
        if self.target not in ("nsf", "softmax"):
            raise HeadError(f"anchor: no target {self.target!r}; choose nsf or softmax")


class Anchor(nn.Module):
    """A copy of `scorer`, whose forward maps rows to (vectors, scores (T, N) or (T, Q, N)).

    Its weights are buffers: they have no gradient, are not saved with the head, and are selected with a pack's trials.
    """

    def __init__(self, scorer: nn.Module, config: AnchorConfig) -> None:
        super().__init__()
        self.config = config
        for name, weights in scorer.named_parameters():
            self.register_buffer(_buffer_name(name), weights.detach().clone(), persistent=False)

    @torch.no_grad()
    def log_weights(self, scorer: nn.Module, rows: Rows) -> Tensor:
        """log a' of every instance, in the shape of the scores; `scorer` runs with the anchor's weights."""
        held = {name: self.get_buffer(_buffer_name(name)) for name, _ in scorer.named_parameters()}
        _, scores = functional_call(scorer, held, (rows,))
        scores = scores / self.config.temperature
        return segment_log_softmax(logsigmoid(scores) if self.config.target == "nsf" else scores, rows.segments)

    def loss(self, scorer: nn.Module, log_weights: Tensor, rows: Rows) -> Tensor:
        """The loss added in training, given the online branch's log attention `log_weights`: (T, B)."""
        return self.config.weight * kl_divergence(self.log_weights(scorer, rows), log_weights, rows.segments)

    @torch.no_grad()
    def update(self, scorer: nn.Module) -> None:
        """Update the moving average with the weights of `scorer`."""
        for name, weights in scorer.named_parameters():
            self.get_buffer(_buffer_name(name)).lerp_(weights, 1 - self.config.momentum)


def kl_divergence(log_target: Tensor, log_weights: Tensor, segments: Segments) -> Tensor:
    """KL(target || weights) of every bag, mean over queries if any: (T, N) or (T, Q, N) -> (T, B)."""
    of_bags = segment_sum(log_target.exp() * (log_target - log_weights), segments)
    return of_bags.mean(dim=1) if of_bags.ndim == 3 else of_bags


def _buffer_name(name: str) -> str:
    return name.replace(".", "__")  # a buffer's name has no dots
