"""Fit one dual-stream head in a plain PyTorch loop, as the baseline for packs.

Layers and Adam are torch's, features are float32, and the loop runs over epochs. Reductions over ragged bags are those
of the packs, the fastest measured. N instance, C latent width, B breast.
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
    """Result of one fit: curves as in FittedHead, and the seconds of each epoch."""

    best_epoch: int
    best_val_auc: float
    curves: dict[str, NDArray[np.float64]]
    epoch_s: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Rows:
    """Normalised float32 vectors of one kind (N, D), and the breast of each."""

    features: Tensor
    segments: Segments


def fit_plain(
    train: BagBatch, val: BagBatch, *, trial: TrialConfig, config: FitConfig, metric: Metric, rescore: Rescore | None
) -> PlainFit:
    """Fit the published dual-stream head, full batch, with the early stopping of `fit_heads`: the same numbers.

    rescore: called in each epoch with scores and labels of train, for which train is scored again, then with those of
    val, as in the method's released code; None to skip. Raises HeadError for splits that cannot be fitted.
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
        metrics = EpochMetrics(np.array([loss.item()]), np.array([val_loss.item()]), auc)
        decision = stopping.update(np.zeros(1, np.int64), metrics)
        marks.append(time.perf_counter())
        if not decision.continuing.any():
            break
    return PlainFit(int(stopping.best_epoch[0]), float(stopping.best_metric[0]), stopping.curves(0), np.diff(marks))


class _PlainDualStream(nn.Module):
    """Views by max, tiles by one learned latent; initial weights are those of a pack of this one seed."""

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
        views_pooled = segment_max(self.views(views.features).T, views.segments)  # (C, B)
        z = self.tiles(tiles.features)  # (N, C)
        attention = segment_softmax(self.key(z) @ self.latent / len(self.latent) ** 0.5, tiles.segments)  # (N,)
        tiles_pooled = segment_sum((self.value(z) * attention.unsqueeze(1)).T, tiles.segments)  # (C, B)
        logits: Tensor = self.classifier(torch.cat([views_pooled, tiles_pooled]).T)
        return logits.squeeze(1)


def _rows_of(bags: BagBatch, kind: str) -> _Rows:
    features = bags.view_features if kind == "view" else bags.tile_features
    offsets = bags.view_offsets if kind == "view" else bags.tile_offsets
    return _Rows(nn.functional.normalize(features.float()), segments_of(offsets))
