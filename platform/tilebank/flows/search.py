"""Many heads as a few packs: each Ray Tune trial fits one pack, packs spread over GPUs or CPU cores."""

import json
import math
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from ray import tune
from tqdm import tqdm

from tilebank.errors import HeadError
from tilebank.files import join_uri, remove_folder
from tilebank.flows.runtime import cluster_cpus, cluster_gpus, connect_ray
from tilebank.flows.settings import SearchConfig, Settings
from tilebank.flows.study import LabelledBags
from tilebank.mil.bags import default_device
from tilebank.mil.fit import FitConfig, FitProgress, FittedHead, TrialConfig, fit_population
from tilebank.mil.heads import HeadConfig, load_head, save_head
from tilebank.mil.pieces import FitPlan

OUTCOME = "outcome.json"
REPORT_EPOCHS = 10  # how often a pack says how far it is


def plan_packs(trials: Sequence[TrialConfig], *, pack: int, slots: int) -> list[list[TrialConfig]]:
    """The trials in packs of `pack`; 0 spreads them evenly over the slots (GPUs, or CPU cores)."""
    size = pack or math.ceil(len(trials) / slots)
    return [list(trials[start : start + size]) for start in range(0, len(trials), size)]


def search_heads(settings: Settings, *, train: LabelledBags, val: LabelledBags, name: str) -> list[FittedHead]:
    """Fit every trial of the search; results in the order of the trials. Raises HeadError when a pack fails.

    `name` must be new: Ray Tune keeps what packs hand back under it, among the artifacts, until all are read.
    """
    connect_ray()
    config = settings.search
    gpus = cluster_gpus()
    packs = plan_packs(_trials(config), pack=config.pack, slots=gpus or cluster_cpus())
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    fit_pack = tune.with_parameters(_fit_pack, train=train, val=val, head=settings.head, fit=config.fit)
    storage = join_uri(settings.artifacts, "search")
    with tqdm(total=config.trials, unit="head", desc="search", dynamic_ncols=True) as bar:
        tuner = tune.Tuner(
            tune.with_resources(fit_pack, {"cpu": 1, "gpu": 1 if gpus else 0}),
            param_space={"pack": tune.grid_search(packs)},
            run_config=tune.RunConfig(name=name, storage_path=storage, verbose=0, callbacks=[_Progress(bar)]),
        )
        results = tuner.fit()
        if results.errors:
            raise HeadError(f"{len(results.errors)} of {len(packs)} packs failed; the first: {results.errors[0]}")
        fitted = [head for result in results for head in _read_pack(result)]
    remove_folder(join_uri(storage, name))
    return sorted(fitted, key=lambda head: head.trial.seed)


def choose_champion(fitted: Sequence[FittedHead]) -> int:
    """The place of the head with the highest validation AUC; of equal ones, that of lower validation loss."""
    losses = [float(head.curves["val_loss"][head.best_epoch - 1]) for head in fitted]
    return min(range(len(fitted)), key=lambda place: (-fitted[place].best_val_auc, losses[place]))


def _trials(config: SearchConfig) -> list[TrialConfig]:
    seeds = range(config.first_seed, config.first_seed + config.trials)
    rates = {"lr": config.lr, "weight_decay": config.weight_decay, "dropout": config.dropout}
    return [TrialConfig(seed=seed, positive_weight=config.positive_weight, **rates) for seed in seeds]


def _fit_pack(
    config: dict[str, Any], *, train: LabelledBags, val: LabelledBags, head: HeadConfig, fit: FitConfig
) -> None:
    """One Ray Tune trial: fit the heads of config["pack"], tell of it, hand them back as files."""
    trials: list[TrialConfig] = config["pack"]

    def tell(progress: FitProgress) -> None:
        if progress.epoch % REPORT_EPOCHS == 0:
            tune.report(_progress(len(trials) - len(progress.active), progress.epoch))

    fitted = fit_population(
        train.as_batch(),
        val.as_batch(),
        head=head,
        trials=trials,
        config=fit,
        outputs=train.outputs,
        device=default_device(),
        progress=tell,
    )
    with tempfile.TemporaryDirectory() as folder:
        for place, result in enumerate(fitted):
            _write_fitted(Path(folder) / f"{place:04d}", result)
        last = max(result.epochs for result in fitted)
        tune.report(_progress(len(trials), last), checkpoint=tune.Checkpoint.from_directory(folder))


def _progress(finished: int, epoch: int) -> dict[str, int]:
    return {"finished": finished, "epoch": epoch}


def _write_fitted(folder: Path, fitted: FittedHead) -> None:
    save_head(fitted.head, folder)
    np.savez(folder / "curves.npz", allow_pickle=False, **fitted.curves)
    outcome = {
        "trial": asdict(fitted.trial),
        "plan": asdict(fitted.plan),
        "best_epoch": fitted.best_epoch,
        "best_val_auc": fitted.best_val_auc,
        "epochs": fitted.epochs,
    }
    (folder / OUTCOME).write_text(json.dumps(outcome), encoding="utf-8")


def _read_pack(result: Any) -> list[FittedHead]:
    with result.checkpoint.as_directory() as folder:
        return [_read_fitted(place) for place in sorted(Path(folder).glob("[0-9]*"))]


def _read_fitted(folder: Path) -> FittedHead:
    outcome = json.loads((folder / OUTCOME).read_text(encoding="utf-8"))
    with np.load(folder / "curves.npz") as curves:
        return FittedHead(
            trial=TrialConfig(**outcome["trial"]),
            head=load_head(folder).head,
            best_epoch=outcome["best_epoch"],
            best_val_auc=outcome["best_val_auc"],
            epochs=outcome["epochs"],
            curves={name: curves[name] for name in curves.files},
            plan=FitPlan(**outcome["plan"]),
        )


class _Progress(tune.Callback):  # type: ignore[misc]  # Ray has no types
    """Counts finished heads over all packs."""

    def __init__(self, bar: Any) -> None:
        self._bar = bar
        self._finished: dict[str, int] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Ray Tune pickles its callbacks beside the results; a bar belongs to its terminal and stays behind."""
        return {"_finished": {}, "_bar": None}

    def on_trial_result(  # Ray Tune's own signature
        self,
        iteration: int,  # noqa: ARG002
        trials: list[Any],  # noqa: ARG002
        trial: Any,
        result: dict[str, Any],
        **info: Any,  # noqa: ARG002
    ) -> None:
        """A pack has told how far it is."""
        self._finished[trial.trial_id] = result["finished"]
        self._bar.n = sum(self._finished.values())
        self._bar.set_postfix(epoch=result["epoch"])
