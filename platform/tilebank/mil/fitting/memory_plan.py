"""Decide how a fit uses memory: batch size, micro-batch size, and whether features stay on the device.

A batch is computed in micro-batches of whole breasts, whose gradients are accumulated. The result is the step of the
whole batch, however small the memory. In FitPlan a micro-batch is called a piece, the name under which it is logged.
T trial, B breast, N instance, D encoder dimension.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tilebank.errors import HeadError
from tilebank.mil.bags.bags import BagBatch, chunk_bags

logger = logging.getLogger(__name__)

MB = 1 << 20
_SHARE = 0.9  # usable share of free memory
_WEIGHTS_A_PIECE = 4  # a micro-batch takes at least this many times the bytes of the weights, whose gradients it makes
_PIECE_BYTES = {"cpu": 32 * MB, "cuda": 2048 * MB}  # CPU: partly fits its caches; GPU: few kernel launches


@dataclass(frozen=True)
class FitPlan:
    """How one fit uses its device. Only `batch` changes the result by more than rounding.

    batch: breasts per optimizer step; steps: optimizer steps per epoch, 1 for the full batch; piece_rows: most vectors
    of a micro-batch; pieces: micro-batches of the train split; resident: whether features stay on the device, or are
    sent there for every micro-batch; features_mb: both splits as stored; budget_mb: memory limit, 0 for none.
    """

    batch: int
    steps: int
    piece_rows: int
    pieces: int
    resident: bool
    features_mb: float
    budget_mb: float

    def as_text(self) -> str:
        """One line for the log."""
        how = "full batch" if self.steps == 1 else f"{self.steps} mini-batches of up to {self.batch} breasts"
        place = "features stay on the device" if self.resident else "features are sent per micro-batch"
        bound = f" of {self.budget_mb:.0f} MB" if self.budget_mb else ""
        size = f"{self.features_mb:.0f} MB{bound}"
        return f"{how}, in {self.pieces} micro-batches of up to {self.piece_rows} vectors; {place} ({size})"


def plan_fit(
    train: BagBatch,
    val: BagBatch,
    *,
    row_bytes: int,
    weights_bytes: int,
    batch: int,
    memory_mb: int,
    device: torch.device,
) -> FitPlan:
    """Plan a fit by the memory available. `row_bytes`: memory to compute on one vector; `batch` 0: the full batch.

    `memory_mb` limits features and computation together; 0 takes the free memory of a GPU and sets no limit on a CPU.
    Raises HeadError if the largest breast does not fit.
    """
    features = sum(_features_bytes(bags) for bags in (train, val))
    budget = memory_mb * MB if memory_mb else _free_bytes(device)
    on_gpu = train.device == device and device.type == "cuda"  # then the free memory already excludes them
    largest = int(max(train.bag_sizes.max(), val.bag_sizes.max())) * row_bytes
    resident, left = True, float("inf")
    if budget:
        usable = _SHARE * budget
        resident = on_gpu or features + largest <= usable
        left = usable - (features if resident and not on_gpu else 0)
        if largest > left:
            raise HeadError(
                f"the largest breast needs {largest / MB:.0f} MB and {left / MB:.0f} MB are free on"
                f" {device}; fit fewer heads in a pack, or raise memory_mb"
            )
    piece = max(_PIECE_BYTES.get(device.type, 32 * MB), _WEIGHTS_A_PIECE * weights_bytes)
    piece_rows = max(1, int(min(piece, left) / row_bytes))
    size = min(batch or len(train), len(train))
    plan = FitPlan(
        batch=size,
        steps=-(-len(train) // size),
        piece_rows=piece_rows,
        pieces=len(chunk_bags(train.bag_sizes, max_rows=piece_rows)),
        resident=resident,
        features_mb=features / MB,
        budget_mb=budget / MB,
    )
    logger.info("fit: %s", plan.as_text())
    return plan


def plan_batches(breasts: int, *, steps: int, generator: torch.Generator) -> Sequence[NDArray[np.int64]]:
    """The breasts of each batch of one epoch: every breast once, in random order, in batches of nearly equal size."""
    order = torch.randperm(breasts, generator=generator).numpy()
    return np.array_split(order, steps)


def _features_bytes(bags: BagBatch) -> int:
    return sum(part.numel() * part.element_size() for part in (bags.view_features, bags.tile_features))


def _free_bytes(device: torch.device) -> int:
    return int(torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else 0
