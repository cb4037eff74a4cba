"""Fit the gated ABMIL of another library, torchmil, with that library's Trainer, for comparison.

torchmil (Apache-2.0, Castro-Macias et al., github.com/Franblueee/torchmil) pads the bags of a batch to the longest one.
It is not a dependency: install it with `pip install tilebank[peer]`.
"""

import time
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from tilebank.mil.bags.bags import BagBatch

TORCHMIL = "torchmil ABMIL"


@dataclass(frozen=True, eq=False)
class TimedFit:
    """Wall and CPU seconds of each epoch's training loop, number of parameters, and scores of the test bags (B,)."""

    epochs_s: tuple[float, ...]
    epochs_cpu_s: tuple[float, ...]
    parameters: int
    scores: NDArray[np.float64]


class _EpochClock:
    """Logger for the Trainer, called after each loop of training and validation in turn."""

    def __init__(self) -> None:
        self.marks = [clocks()]

    def log(self, _: dict[str, float]) -> None:
        self.marks.append(clocks())


def clocks() -> tuple[float, float]:
    """Wall and CPU seconds of this process."""
    return time.perf_counter(), time.process_time()


def is_torchmil_installed() -> bool:
    """Whether there is a torchmil to compare with."""
    return find_spec("torchmil") is not None


def fit_torchmil(train: BagBatch, val: BagBatch, test: BagBatch, *, epochs: int, batch: int, lr: float) -> TimedFit:
    """Fit on the tiles of `train`, as the library's documentation shows, and score `test`."""
    from torchmil.data import collate_fn
    from torchmil.models import ABMIL
    from torchmil.utils import Trainer

    torch.manual_seed(0)
    model = ABMIL(in_shape=(train.dim,), gated=True)
    marks = _EpochClock()
    trainer = Trainer(
        model,
        torch.optim.Adam(model.parameters(), lr=lr),
        device="cpu",
        logger=marks,
        disable_pbar=True,
        verbose=False,
    )
    loaders: list[Any] = [
        DataLoader(_tiles(bags), batch_size=batch, shuffle=bags is train, collate_fn=collate_fn)  # type: ignore[arg-type]
        for bags in (train, val)
    ]
    trainer.train(epochs, *loaders)
    model.eval()
    with torch.inference_mode():
        logits = torch.cat([model(bag["X"].unsqueeze(0)) for bag in _tiles(test)])
    wall_s, cpu_s = np.diff(np.array(marks.marks), axis=0)[::2].T  # training without validation
    return TimedFit(
        epochs_s=tuple(wall_s.tolist()),
        epochs_cpu_s=tuple(cpu_s.tolist()),
        parameters=sum(weights.numel() for weights in model.parameters()),
        scores=torch.sigmoid(logits.double()).numpy(),
    )


def _tiles(bags: BagBatch) -> list[dict[str, Tensor]]:
    """Bags as torchmil's datasets give them: vectors already scaled to length one, as our heads scale theirs."""
    assert bags.labels is not None
    features = torch.nn.functional.normalize(bags.tile_features.float())
    vectors = torch.split(features, bags.tile_offsets.diff().tolist())
    return [{"X": own, "Y": label} for own, label in zip(vectors, bags.labels, strict=True)]
