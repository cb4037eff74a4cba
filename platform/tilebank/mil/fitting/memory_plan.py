"""How much of a split is computed on at once: what fits, said before the first epoch. Knows sizes, not heads' insides.

A step over many breasts is made in pieces, whole breasts each, whose gradients are summed: the step of the full batch,
however small the memory. T trial, B breast, N instance, D encoder dimension.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tilebank.errors import HeadError
from tilebank.mil.bags.bags import BagBatch, cut_pieces

logger = logging.getLogger(__name__)

MB = 1 << 20
_SHARE = 0.9  # of the memory that is free
_WEIGHTS_A_PIECE = 4  # a piece is at least that many times the weights, whose gradients it makes and adds up
_PIECE_BYTES = {"cpu": 32 * MB, "cuda": 2048 * MB}  # on a CPU what its caches can partly hold; on a GPU few launches


@dataclass(frozen=True)
class FitPlan:
    """What one fit does with its device. Only `batch` shapes the result beyond rounding.

    batch: breasts a step of the optimiser; steps: of them an epoch, 1 being the full batch; piece_rows: vectors
    computed on together; pieces: of the train split; resident: whether features stay on the device, or are sent there
    piece by piece; features_mb: of both splits as stored; budget_mb: what was free or allowed, 0 for no bound.
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
        place = "features stay on the device" if self.resident else "features are sent piece by piece"
        bound = f" of {self.budget_mb:.0f} MB" if self.budget_mb else ""
        size = f"{self.features_mb:.0f} MB{bound}"
        return f"{how}, in {self.pieces} pieces of up to {self.piece_rows} vectors; {place} ({size})"


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
    """Decide from free memory. `row_bytes` is what computing on one vector takes; `batch` 0 is the full batch.

    `memory_mb` bounds features and computation together; 0 asks a GPU what is free, and leaves main memory unbounded.
    Raises HeadError where not even one breast can be computed on.
    """
    features = sum(_features_bytes(bags) for bags in (train, val))
    budget = memory_mb * MB if memory_mb else _free_bytes(device)
    there = train.device == device and device.type == "cuda"  # then they are no part of what is free
    largest = int(max(train.rows.max(), val.rows.max())) * row_bytes
    resident, left = True, float("inf")
    if budget:
        usable = _SHARE * budget
        resident = there or features + largest <= usable
        left = usable - (features if resident and not there else 0)
        if largest > left:
            raise HeadError(
                f"the largest breast takes {largest / MB:.0f} MB to compute on and {left / MB:.0f} MB are left on"
                f" {device}; fit fewer heads in a pack, or raise memory_mb"
            )
    piece = max(_PIECE_BYTES.get(device.type, 32 * MB), _WEIGHTS_A_PIECE * weights_bytes)
    piece_rows = max(1, int(min(piece, left) / row_bytes))
    size = min(batch or len(train), len(train))
    plan = FitPlan(
        batch=size,
        steps=-(-len(train) // size),
        piece_rows=piece_rows,
        pieces=len(cut_pieces(train.rows, most=piece_rows)),
        resident=resident,
        features_mb=features / MB,
        budget_mb=budget / MB,
    )
    logger.info("fit: %s", plan.as_text())
    return plan


def plan_batches(breasts: int, *, steps: int, generator: torch.Generator) -> Sequence[NDArray[np.int64]]:
    """The breasts of each step of one epoch: each breast once, in random order, batches of equal size but for one."""
    order = torch.randperm(breasts, generator=generator).numpy()
    return np.array_split(order, steps)


def _features_bytes(bags: BagBatch) -> int:
    return sum(part.numel() * part.element_size() for part in (bags.view_features, bags.tile_features))


def _free_bytes(device: torch.device) -> int:
    return int(torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else 0
