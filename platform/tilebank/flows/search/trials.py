"""Fit many heads in a few packs: each Ray Tune trial fits one pack; packs are spread over GPUs or CPU cores."""

import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ray import tune

from tilebank.errors import HeadError
from tilebank.files import join_uri
from tilebank.flows.engine.cluster import cluster_cpus, cluster_gpus
from tilebank.flows.reporting.progress import progress_bar
from tilebank.flows.search.fit_pack import fit_pack
from tilebank.flows.search.packs import Pack, SearchFolder
from tilebank.flows.search.sampling import open_sampler
from tilebank.flows.settings.settings import Settings
from tilebank.flows.study.labelled_bags import LabelledBags
from tilebank.mil.fitting.fit import FittedHead


@dataclass(frozen=True, eq=False)
class Searched:
    """Every fitted head in the order of the trials, and how many of them an earlier run had fitted."""

    fitted: list[FittedHead]
    resumed: int


def search_heads(settings: Settings, *, train: LabelledBags, val: LabelledBags, folder: SearchFolder) -> Searched:
    """Fit every trial of the search, round by round, but those whose packs `folder` holds; Ray must be connected.

    Raises HeadError when a pack fails; what is finished stays in the folder, which the caller removes.
    """
    config, gpus = settings.search, cluster_gpus()
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    trainable = tune.with_parameters(fit_pack, train=train, val=val, fit=config.fit, folder=folder)
    trainable = tune.with_resources(trainable, {"cpu": 1, "gpu": 1 if gpus else 0})
    sampler = open_sampler(config, settings.head)
    fitted: list[FittedHead] = []
    rounds = resumed = 0
    with progress_bar("search", unit="head", total=config.trials) as bar:
        while len(fitted) < config.trials:
            asked = sampler.ask(config.trials - len(fitted))
            packs = folder.plan_round(rounds, asked, pack=config.pack, slots=gpus or cluster_cpus())
            missing = [pack for pack in packs if not folder.holds(pack)]
            new = sum(len(pack.trials) for pack in missing)
            resumed += len(asked) - new
            bar.update(len(asked) - new)
            if missing:
                _fit_packs(missing, trainable, folder=folder, bar=bar)
            heads = [head for pack in packs for head in folder.read_pack(pack)]
            heads.sort(key=lambda head: head.trial.seed)
            sampler.tell([head.best_val_auc for head in heads])
            fitted += heads
            rounds += 1
    return Searched(fitted, resumed)


def choose_champion(fitted: Sequence[FittedHead]) -> int:
    """The place of the head with the highest validation AUC; of equal ones, that of lower validation loss."""
    losses = [float(head.curves["val_loss"][head.best_epoch - 1]) for head in fitted]
    return min(range(len(fitted)), key=lambda place: (-fitted[place].best_val_auc, losses[place]))


def _fit_packs(packs: Sequence[Pack], trainable: Any, *, folder: SearchFolder, bar: Any) -> None:
    """Ray Tune keeps its own notes below the search's folder, under a name that no earlier attempt had."""
    tuner = tune.Tuner(
        trainable,
        param_space={"pack": tune.grid_search(list(packs))},
        tune_config=tune.TuneConfig(reuse_actors=True),  # a process that has loaded torch takes the next pack
        run_config=tune.RunConfig(
            name=uuid.uuid4().hex, storage_path=join_uri(folder.uri, "tune"), verbose=0, callbacks=[_Progress(bar)]
        ),
    )
    results = tuner.fit()
    if results.errors:
        raise HeadError(f"{len(results.errors)} of {len(packs)} packs failed; the first: {results.errors[0]}")


class _Progress(tune.Callback):  # type: ignore[misc]  # Ray has no types
    """Counts finished heads over all packs."""

    def __init__(self, bar: Any) -> None:
        self._bar = bar
        self._before = bar.n
        self._finished: dict[str, int] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Ray Tune pickles its callbacks beside the results; a bar belongs to its terminal and stays behind."""
        return {"_finished": {}, "_bar": None, "_before": 0}

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
        self._bar.n = self._before + sum(self._finished.values())
        self._bar.set_postfix(epoch=result["epoch"])
