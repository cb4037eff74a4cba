"""Batches of one split for training, each cut into micro-batches on the device.

B breast of the split, b breast of a batch.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from tilebank.mil.bags.bags import BagBatch, chunk_bags
from tilebank.mil.contract.head import Head
from tilebank.mil.contract.records import PreparedBags
from tilebank.mil.fitting.memory_plan import FitPlan, plan_batches


@dataclass(frozen=True, eq=False)
class MicroBatch:
    """Breasts `start` up to `stop` of a batch, on the device, with their labels."""

    start: int
    stop: int
    bags: PreparedBags
    labels: Tensor


@dataclass(frozen=True, eq=False)
class Batch:
    """The breasts of one optimizer step: how many, how many training examples they hold, and their micro-batches.

    share: their share of the split's breasts. `micro_batches` can be iterated once.
    """

    share: float
    breasts: int
    examples: int
    micro_batches: Iterator[MicroBatch]


class BatchLoader:
    """The batches of every epoch over one split: the full batch in stored order, or shuffled by `order_seed`."""

    def __init__(
        self, bags: BagBatch, labels: Tensor, *, plan: FitPlan, device: torch.device, order_seed: int | None = None
    ) -> None:
        self._bags, self._labels, self._device = bags, labels, device
        self._max_rows, self._resident = plan.piece_rows, plan.resident
        self._steps = 1 if order_seed is None else plan.steps
        self._generator = torch.Generator().manual_seed(order_seed or 0)
        self._cached: list[MicroBatch] | None = None
        if self._resident and self._steps > 1:
            self._bags = bags.to(device)

    def batches(self, head: Head) -> Iterator[Batch]:
        """The batches of one epoch. Between epochs `head` may change only in its number of trials."""
        if self._steps == 1:
            yield Batch(1.0, len(self._bags), head.count_examples(self._bags), self._full_batch(head))
            return
        for chosen in plan_batches(len(self._bags), steps=self._steps, generator=self._generator):
            bags = self._bags.select(chosen.tolist())
            labels = self._labels[torch.from_numpy(chosen).to(self._labels.device)]
            micro_batches = self._cut(head, bags, labels)
            yield Batch(len(bags) / len(self._bags), len(bags), head.count_examples(bags), micro_batches)

    def _full_batch(self, head: Head) -> Iterator[MicroBatch]:
        """The micro-batches of the full batch, prepared once if the features stay on the device."""
        if not self._resident:
            return self._cut(head, self._bags, self._labels)
        if self._cached is None:
            self._cached = list(self._cut(head, self._bags, self._labels))
        return iter(self._cached)

    def _cut(self, head: Head, bags: BagBatch, labels: Tensor) -> Iterator[MicroBatch]:
        for start, stop in chunk_bags(bags.bag_sizes, max_rows=self._max_rows):
            prepared = head.prepare(bags.between(start, stop).to(self._device))
            yield MicroBatch(start, stop, prepared, labels[start:stop].to(self._device))
