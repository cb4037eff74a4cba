"""Bags of one split as a fit asks for them: step by step, each in pieces on the device. Knows no losses.

B breast of the split, b breast of a step.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from tilebank.mil.bags.bags import BagBatch, cut_pieces
from tilebank.mil.contract.head import Head
from tilebank.mil.contract.records import PreparedBags
from tilebank.mil.fitting.memory_plan import FitPlan, plan_batches


@dataclass(frozen=True, eq=False)
class Piece:
    """The breasts from `start` up to `stop` of a step, on the device, with their labels."""

    start: int
    stop: int
    bags: PreparedBags
    labels: Tensor


@dataclass(frozen=True, eq=False)
class Step:
    """One step's breasts: how many, how many examples they hold, and their pieces, which can be asked for once."""

    breasts: int
    examples: int
    pieces: Iterator[Piece]


class Feed:
    """The steps of every epoch over one split, in its own order as a full batch, else in an order of `order_seed`."""

    def __init__(
        self, bags: BagBatch, labels: Tensor, *, plan: FitPlan, device: torch.device, order_seed: int | None = None
    ) -> None:
        self._bags, self._labels, self._device = bags, labels, device
        self._most, self._resident = plan.piece_rows, plan.resident
        self._steps = 1 if order_seed is None else plan.steps
        self._generator = torch.Generator().manual_seed(order_seed or 0)
        self._held: list[Piece] | None = None
        if self._resident and self._steps > 1:
            self._bags = bags.to(device)

    def steps(self, head: Head) -> Iterator[tuple[float, Step]]:
        """(share of the split's breasts, step) of one epoch. `head` may differ between epochs in its trials alone."""
        if self._steps == 1:
            yield 1.0, Step(len(self._bags), head.count_examples(self._bags), self._whole(head))
            return
        for chosen in plan_batches(len(self._bags), steps=self._steps, generator=self._generator):
            bags = self._bags.select(chosen.tolist())
            labels = self._labels[torch.from_numpy(chosen).to(self._labels.device)]
            pieces = self._cut(head, bags, labels)
            yield len(bags) / len(self._bags), Step(len(bags), head.count_examples(bags), pieces)

    def _whole(self, head: Head) -> Iterator[Piece]:
        """The full batch: cut, moved and measured once if it stays on the device."""
        if not self._resident:
            return self._cut(head, self._bags, self._labels)
        if self._held is None:
            self._held = list(self._cut(head, self._bags, self._labels))
        return iter(self._held)

    def _cut(self, head: Head, bags: BagBatch, labels: Tensor) -> Iterator[Piece]:
        for start, stop in cut_pieces(bags.rows, most=self._most):
            prepared = head.prepare(bags.between(start, stop).to(self._device))
            yield Piece(start, stop, prepared, labels[start:stop].to(self._device))
