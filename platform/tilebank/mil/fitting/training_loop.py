"""A pack in the middle of being fitted: its steps and its epochs. Knows neither who is best nor when to stop.

A trial still active, B breast, M example, C answer.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tilebank.errors import HeadError
from tilebank.mil.bags.bags import BagBatch
from tilebank.mil.contract.dropout import Draws, StackedDropout, StackedNoise
from tilebank.mil.contract.head import Head
from tilebank.mil.contract.outputs import (
    Outputs,
    balancing_weights,
    example_losses,
    labels_for,
    probabilities,
    stack_weights,
)
from tilebank.mil.fitting.attention_curves import AttentionWatch
from tilebank.mil.fitting.batches import Feed, Step
from tilebank.mil.fitting.memory_plan import plan_fit
from tilebank.mil.fitting.optimizer import EpochFigures, StackedAdam
from tilebank.mil.fitting.selection_metric import selection_auc
from tilebank.mil.fitting.settings import FitConfig, TrialConfig

Metric = Callable[[NDArray[np.float64], NDArray[np.int64]], NDArray[np.float64]]


class Course:
    """The state of a pack between epochs: heads still active, their optimiser and masks, and where bags come from."""

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
        train_labels = labels_for(train.labels, outputs, split="train")
        self.val_labels = labels_for(val.labels, outputs, split="val").to(device)
        train, val = pack.relevant(train), pack.relevant(val)
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
        self.train = Feed(train, train_labels, plan=self.plan, device=device, order_seed=config.order_seed)
        self.val = Feed(val, self.val_labels, plan=self.plan, device=device)
        self.weights = _weights(train_labels, outputs, trials=trials, config=config).to(device)  # (A, C)
        self.adam = StackedAdam(pack, lr=[t.lr for t in trials], weight_decay=[t.weight_decay for t in trials])
        seeds = [trial.seed for trial in trials]
        self.dropout = StackedDropout([t.dropout for t in trials], seeds=seeds, width=pack.pooled_width, device=device)
        self.noise = StackedNoise(pack.noise_width, seeds=seeds, device=device)
        self.has_extra = False  # whether the head adds to its loss, known after a step
        self.watch = AttentionWatch()
        self._pass_over_val()
        self.watch.close()  # the first epoch is compared with the first weights

    def run_epoch(self) -> EpochFigures:
        """Every step of one epoch, then the validation split."""
        losses = torch.zeros(2, self.pack.trials, dtype=torch.float64, device=self.weights.device)
        for share, step in self.train.steps(self.pack):
            draws = Draws(self.dropout.draw(step.breasts), self.noise.draw(step.breasts))
            losses += share * self._take_step(step, draws)
        return self._validate(losses)

    def go_on_with(self, staying: Sequence[int]) -> None:
        """Drop the heads that are done: they take no part in any later computation."""
        self.pack = self.pack.select(staying)
        self.adam = self.adam.select(self.pack, staying)
        self.dropout.select(staying)
        self.noise.select(staying)
        self.watch.select(staying)
        self.weights = self.weights[staying]

    def _take_step(self, step: Step, draws: Draws) -> Tensor:
        """One step of the optimiser; before it, the loss and what of it the head itself adds: (2, A)."""
        parameters = list(self.pack.parameters())
        total = [torch.zeros_like(parameter) for parameter in parameters]
        loss = torch.zeros(2, self.pack.trials, device=self.weights.device)
        criterion = partial(example_losses, outputs=self.pack.outputs, weights=self.weights)
        for piece in step.pieces:
            own = draws.between(piece.start, piece.stop)
            losses = self.pack.losses(piece.bags, piece.labels, criterion=criterion, draws=own)
            part = losses.examples.sum(dim=1) / max(step.examples, 1)  # (A,)
            if losses.extra is not None:
                extra = losses.extra.sum(dim=1) / step.breasts
                part = part + extra
                loss[1] += extra.detach()
                self.has_extra = True
            # A piece may hold no tile at all: a parameter that it does not touch has a gradient of zeros.
            gradients = torch.autograd.grad(part.sum(), parameters, materialize_grads=True)
            for held, gradient in zip(total, gradients, strict=True):
                held += gradient
            loss[0] += part.detach()
        self.adam.step(total)
        with torch.no_grad():
            self.pack.after_step()
        return loss

    def _validate(self, losses: Tensor) -> EpochFigures:
        outputs, labels = self.pack.outputs, self.val_labels
        logits = self._pass_over_val()
        with torch.inference_mode():
            val_loss = example_losses(logits, labels, outputs=outputs, weights=self.weights).mean(dim=1)
            # A broken head gets ties here, and the ledger ends it.
            scores = probabilities(logits.nan_to_num(0.0, 0.0, 0.0), outputs)
            if self.metric is None:
                figure = _to_numpy(selection_auc(scores, labels, outputs=outputs))
            else:
                truth = labels.cpu().numpy().astype(np.int64)
                figure = np.asarray(self.metric(scores.cpu().numpy(), truth), dtype=np.float64)
            others = self.watch.close() | ({"extra_loss": losses[1]} if self.has_extra else {})
        if figure.shape != (len(scores),):
            raise HeadError(f"metric gave shape {figure.shape} for {len(scores)} heads; return one number a head")
        told = {name: _to_numpy(values) for name, values in others.items()}
        return EpochFigures(_to_numpy(losses[0]), _to_numpy(val_loss), figure, told)

    @torch.inference_mode()
    def _pass_over_val(self) -> Tensor:
        """Logits (A, B) or (A, B, C) of the validation split; its attention, where there is any, is watched."""
        (_, step) = next(iter(self.val.steps(self.pack)))
        logits = []
        for piece in step.pieces:
            passed = self.pack.run(piece.bags)
            logits.append(passed.logits)
            if passed.attention is not None:
                self.watch.see(passed.attention)
        return torch.cat(logits, dim=1)


def _weights(labels: Tensor, outputs: Outputs, *, trials: Sequence[TrialConfig], config: FitConfig) -> Tensor:
    balanced = balancing_weights(labels, outputs)  # (C,)
    if config.class_weight == "none":
        balanced = torch.ones_like(balanced)
    return stack_weights(balanced, outputs, asked=[trial.positive_weight for trial in trials])


def _row_bytes(pack: Head) -> int:
    """What one vector takes forward and backward: two float32 copies, and what every trial holds for it."""
    return 4 * (2 * pack.dim + pack.trials * pack.row_numbers)


def _to_numpy(values: Tensor) -> NDArray[np.float64]:
    return values.detach().double().cpu().numpy()
