"""One dual-stream head fitted by itself: torch's layers and Adam, features in float32, a plain loop over epochs.

It is what one would write for one head, and so the yardstick for packs; nothing is searched with it. Reductions over
ragged bags are those of the packs, which are the fastest known. N instance, C latent width, B breast.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tilebank.mil.bags.bags import BagBatch
from tilebank.mil.bags.segments import Segments, segment_max, segment_softmax, segment_sum, segments_of
from tilebank.mil.contract.outputs import BINARY, balancing_weights, check_labels, probabilities
from tilebank.mil.fitting.early_stopping import EarlyStopping, EpochMetrics
from tilebank.mil.fitting.settings import FitConfig, TrialConfig
from tilebank.mil.fitting.training_loop import Metric
from tilebank.mil.heads.dual_stream import DualStreamConfig
from tilebank.mil.heads.registry import build_head

Rescore = Callable[[NDArray[np.float64], NDArray[np.int64]], object]


@dataclass(frozen=True, eq=False)
class PlainFit:
    """One head's course: its figures an epoch as FittedHead.curves, and the seconds that each epoch took."""

    best_epoch: int
    best_val_auc: float
    curves: dict[str, NDArray[np.float64]]
    epoch_s: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Rows:
    """Vectors of one kind, of length one, in float32 (N, D), and which breast each is of."""

    features: Tensor
    segments: Segments


def fit_plain(
    train: BagBatch, val: BagBatch, *, trial: TrialConfig, config: FitConfig, metric: Metric, rescore: Rescore | None
) -> PlainFit:
    """Fit the published dual-stream head, full batch, with the early stop of `fit_heads`; the same numbers.

    rescore: called each epoch with the scores and labels of train, scored anew for it, then with those of val, as the
    method's released code does; None does without. Raises HeadError for splits that cannot be fitted on.
    """
    labels = {name: check_labels(bags.labels, BINARY, split=name) for name, bags in (("train", train), ("val", val))}
    weight = balancing_weights(labels["train"], BINARY) if config.class_weight == "balanced" else None
    criterion = nn.BCEWithLogitsLoss(pos_weight=weight)
    head = _PlainDualStream(DualStreamConfig(), dim=train.dim, seed=trial.seed)
    adam = torch.optim.Adam(head.parameters(), lr=trial.lr, weight_decay=trial.weight_decay)
    read = {name: (_rows_of(bags, "view"), _rows_of(bags, "tile")) for name, bags in (("train", train), ("val", val))}
    truth = {name: of.numpy().astype(np.int64) for name, of in labels.items()}
    stopping = EarlyStopping(1, patience=config.patience, min_gain=config.min_gain)
    marks = [time.perf_counter()]
    for _ in range(config.max_epochs):
        adam.zero_grad()
        loss = criterion(head(*read["train"]), labels["train"])
        loss.backward()
        adam.step()
        with torch.inference_mode():
            logits = head(*read["val"])
            scores = probabilities(logits, BINARY).numpy()
            if rescore is not None:
                rescore(probabilities(head(*read["train"]), BINARY).numpy(), truth["train"])
                rescore(scores, truth["val"])
            val_loss = criterion(logits, labels["val"])
        auc = metric(scores[None], truth["val"])
        figures = EpochMetrics(np.array([loss.item()]), np.array([val_loss.item()]), auc)
        decision = stopping.update(np.zeros(1, np.int64), figures)
        marks.append(time.perf_counter())
        if not decision.continuing.any():
            break
    return PlainFit(int(stopping.best_epoch[0]), float(stopping.best_metric[0]), stopping.curves(0), np.diff(marks))


class _PlainDualStream(nn.Module):
    """Views by max, tiles by one learned latent; first weights are those of a head of one trial of this seed."""

    def __init__(self, config: DualStreamConfig, *, dim: int, seed: int) -> None:
        super().__init__()
        self.views, self.tiles = (
            nn.Sequential(nn.Linear(dim, config.hidden), nn.ReLU(), nn.Linear(config.hidden, config.latent), nn.ReLU())
            for _ in range(2)
        )
        self.key, self.value = (nn.Linear(config.latent, config.latent) for _ in range(2))
        self.latent = nn.Parameter(torch.empty(config.latent))
        self.classifier = nn.Linear(2 * config.latent, 1)
        stacked = build_head(config, dim=dim, seeds=[seed]).state_dict()
        names = {
            "views.0": "view_stream.first",
            "views.2": "view_stream.second",
            "tiles.0": "tile_stream.first",
            "tiles.2": "tile_stream.second",
            "key": "tile_stream.pooling.key",
            "value": "tile_stream.pooling.value",
            "classifier": "classifier",
        }
        whole = {f"{own}.{part}": f"{theirs}.{part}" for own, theirs in names.items() for part in ("weight", "bias")}
        whole["latent"] = "tile_stream.pooling.latent"
        self.load_state_dict({own: stacked[theirs][0] for own, theirs in whole.items()})

    def forward(self, views: _Rows, tiles: _Rows) -> Tensor:
        """Logits (B,)."""
        seen = segment_max(self.views(views.features).T, views.segments)  # (C, B)
        z = self.tiles(tiles.features)  # (N, C)
        attention = segment_softmax(self.key(z) @ self.latent / len(self.latent) ** 0.5, tiles.segments)  # (N,)
        found = segment_sum((self.value(z) * attention.unsqueeze(1)).T, tiles.segments)  # (C, B)
        logits: Tensor = self.classifier(torch.cat([seen, found]).T)
        return logits.squeeze(1)


def _rows_of(bags: BagBatch, kind: str) -> _Rows:
    features = bags.view_features if kind == "view" else bags.tile_features
    offsets = bags.view_offsets if kind == "view" else bags.tile_offsets
    return _Rows(nn.functional.normalize(features.float()), segments_of(offsets))
