"""Fit one pack of heads in a process of Ray Tune.

A process imports this module and what it needs before it can fit; the driver's modules (store, MLflow, reports) would
double that time.
"""

from typing import Any

from ray import tune

from tilebank.flows.search.packs import Pack, SearchFolder
from tilebank.flows.study.labelled_bags import LabelledBags
from tilebank.mil.bags.bags import default_device
from tilebank.mil.fitting.fit import FitConfig, FitProgress, fit_heads

REPORT_EPOCHS = 10  # how often a pack says how far it is


def fit_pack(
    config: dict[str, Any], *, train: LabelledBags, val: LabelledBags, fit: FitConfig, folder: SearchFolder
) -> None:
    """One Ray Tune trial: fit the heads of config["pack"], tell of it, keep them in the search's folder."""
    pack: Pack = config["pack"]

    def tell(progress: FitProgress) -> None:
        if progress.epoch % REPORT_EPOCHS == 0:
            tune.report(_counts(len(pack.trials) - len(progress.active), progress.epoch))

    fitted = fit_heads(
        train.as_batch(),
        val.as_batch(),
        head=pack.head,
        trials=pack.trials,
        config=fit,
        outputs=train.outputs,
        device=default_device(),
        progress=tell,
    )
    folder.write_pack(pack, fitted)
    tune.report(_counts(len(pack.trials), max(result.epochs for result in fitted)))


def _counts(finished: int, epoch: int) -> dict[str, int]:
    return {"finished": finished, "epoch": epoch}
