"""The training loop of a pack: optimizer steps, validation and metrics of one epoch at a time.

A trial still active, B breast, M example, C output.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tilebank.errors import HeadError
from tilebank.mil.bags.bags import BagBatch
from tilebank.mil.contract.dropout import StackedDropout, StackedUniform, StepNoise
from tilebank.mil.contract.head import Head
from tilebank.mil.contract.outputs import (
    Outputs,
    balancing_weights,
    check_labels,
    class_weights,
    example_losses,
    probabilities,
)
from tilebank.mil.fitting.attention_curves import AttentionTracker
from tilebank.mil.fitting.batches import Batch, BatchLoader
from tilebank.mil.fitting.early_stopping import EpochMetrics
from tilebank.mil.fitting.memory_plan import plan_fit
from tilebank.mil.fitting.optimizer import StackedAdam
from tilebank.mil.fitting.selection_metric import selection_auc
from tilebank.mil.fitting.settings import FitConfig, TrialConfig

Metric = Callable[[NDArray[np.float64], NDArray[np.int64]], NDArray[np.float64]]


class TrainingLoop:
    """A pack in training: the heads still active, their optimizer and dropout, and the batches of both splits."""

    def __init__(
        self,
        train: BagBatch,
        val: BagBatch,
        *,
        pack: Head,
        trials: Sequence[TrialConfig],
        config: FitConfig,
        metric: Metric | None,
    ) -> None:
        outputs, device = pack.outputs, next(pack.parameters()).device
        train_labels = check_labels(train.labels, outputs, split="train")
        self.val_labels = check_labels(val.labels, outputs, split="val").to(device)
        train, val = pack.drop_unused(train), pack.drop_unused(val)
        for part in (train, val):
            part.assert_finite()
        self.pack, self.metric = pack, metric
        self.plan = plan_fit(
            train,
            val,
            row_bytes=_row_bytes(pack),
            weights_bytes=sum(parameter.nbytes for parameter in pack.parameters()),
            batch=config.batch,
            memory_mb=config.memory_mb,
            device=device,
        )
        self.train = BatchLoader(train, train_labels, plan=self.plan, device=device, order_seed=config.order_seed)
        self.val = BatchLoader(val, self.val_labels, plan=self.plan, device=device)
        self.weights = _weights(train_labels, outputs, trials=trials, config=config).to(device)  # (A, C)
        self.adam = StackedAdam(pack, lr=[t.lr for t in trials], weight_decay=[t.weight_decay for t in trials])
        seeds = [trial.seed for trial in trials]
        self.dropout = StackedDropout([t.dropout for t in trials], seeds=seeds, width=pack.pooled_width, device=device)
        self.noise = StackedUniform(pack.noise_width, seeds=seeds, device=device)
        self.has_extra = False  # whether the head adds a term to its loss, known after a step
        self.attention = AttentionTracker()
        self._forward_val()
        self.attention.finish_epoch()  # the first epoch is compared with the initial weights

    def run_epoch(self) -> EpochMetrics:
        """One epoch of optimizer steps, then validation."""
        losses = torch.zeros(2, self.pack.trials, dtype=torch.float64, device=self.weights.device)
        for batch in self.train.batches(self.pack):
            noise = StepNoise(self.dropout.sample(batch.breasts), self.noise.sample(batch.breasts))
            losses += batch.share * self._train_step(batch, noise)
        return self._validate(losses)

    def keep_trials(self, trials: Sequence[int]) -> None:
        """Keep only the trials at these positions; the others have stopped."""
        self.pack = self.pack.select(trials)
        self.adam = self.adam.select(self.pack, trials)
        self.dropout.select(trials)
        self.noise.select(trials)
        self.attention.select(trials)
        self.weights = self.weights[trials]

    def _train_step(self, batch: Batch, noise: StepNoise) -> Tensor:
        """One optimizer step. Returns the loss before it and the part that the head itself adds: (2, A)."""
        parameters = list(self.pack.parameters())
        total = [torch.zeros_like(parameter) for parameter in parameters]
        loss = torch.zeros(2, self.pack.trials, device=self.weights.device)
        criterion = partial(example_losses, outputs=self.pack.outputs, weights=self.weights)
        for micro_batch in batch.micro_batches:
            own = noise.between(micro_batch.start, micro_batch.stop)
            losses = self.pack.losses(micro_batch.bags, micro_batch.labels, criterion=criterion, noise=own)
            part = losses.examples.sum(dim=1) / max(batch.examples, 1)  # (A,)
            if losses.extra is not None:
                extra = losses.extra.sum(dim=1) / batch.breasts
                part = part + extra
                loss[1] += extra.detach()
                self.has_extra = True
            # A micro-batch may hold no tiles: unused parameters get a gradient of zeros.
            gradients = torch.autograd.grad(part.sum(), parameters, materialize_grads=True)
            for summed, gradient in zip(total, gradients, strict=True):
                summed += gradient
            loss[0] += part.detach()
        self.adam.step(total)
        with torch.no_grad():
            self.pack.after_step()
        return loss

    def _validate(self, losses: Tensor) -> EpochMetrics:
        outputs, labels = self.pack.outputs, self.val_labels
        logits = self._forward_val()
        with torch.inference_mode():
            val_loss = example_losses(logits, labels, outputs=outputs, weights=self.weights).mean(dim=1)
            # A head with NaN logits scores ties here; early stopping then ends it by its loss.
            scores = probabilities(logits.nan_to_num(0.0, 0.0, 0.0), outputs)
            if self.metric is None:
                metric = _to_numpy(selection_auc(scores, labels, outputs=outputs))
            else:
                truth = labels.cpu().numpy().astype(np.int64)
                metric = np.asarray(self.metric(scores.cpu().numpy(), truth), dtype=np.float64)
            others = self.attention.finish_epoch() | ({"extra_loss": losses[1]} if self.has_extra else {})
        if metric.shape != (len(scores),):
            raise HeadError(f"metric returned shape {metric.shape} for {len(scores)} heads; return one number per head")
        logged = {name: _to_numpy(values) for name, values in others.items()}
        return EpochMetrics(_to_numpy(losses[0]), _to_numpy(val_loss), metric, logged)

    @torch.inference_mode()
    def _forward_val(self) -> Tensor:
        """Logits (A, B) or (A, B, C) of the validation split; tracks its attention if the head has any."""
        batch = next(iter(self.val.batches(self.pack)))
        logits = []
        for micro_batch in batch.micro_batches:
            result = self.pack.run(micro_batch.bags)
            logits.append(result.logits)
            if result.attention is not None:
                self.attention.update(result.attention)
        return torch.cat(logits, dim=1)


def _weights(labels: Tensor, outputs: Outputs, *, trials: Sequence[TrialConfig], config: FitConfig) -> Tensor:
    balanced = balancing_weights(labels, outputs)  # (C,)
    if config.class_weight == "none":
        balanced = torch.ones_like(balanced)
    return class_weights(balanced, outputs, positive_weights=[trial.positive_weight for trial in trials])


def _row_bytes(pack: Head) -> int:
    """Memory of one vector, forward and backward: two float32 copies, and the activations of every trial."""
    return 4 * (2 * pack.dim + pack.trials * pack.floats_per_instance)


def _to_numpy(values: Tensor) -> NDArray[np.float64]:
    return values.detach().double().cpu().numpy()
