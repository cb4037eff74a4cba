"""Open a dataset by the name of its adapter."""

import os

from tilebank.datasets.cbis.adapter import Cbis
from tilebank.datasets.cmmd import Cmmd
from tilebank.datasets.contract import MADE_ELSEWHERE, Dataset, DatasetConfig
from tilebank.datasets.embed.adapter import Embed
from tilebank.datasets.features import Features
from tilebank.datasets.folder import Folder
from tilebank.datasets.phantom import Phantom
from tilebank.datasets.pseudonyms import Pseudonymised, key_check, read_key
from tilebank.datasets.rsna import Rsna
from tilebank.datasets.vindr.adapter import Vindr
from tilebank.errors import ConfigError

DATASETS: dict[str, type[Dataset]] = {
    "cbis": Cbis,
    "cmmd": Cmmd,
    "embed": Embed,
    MADE_ELSEWHERE: Features,
    "folder": Folder,
    "phantom": Phantom,
    "rsna": Rsna,
    "vindr": Vindr,
}


def open_dataset(config: DatasetConfig) -> Dataset:
    """The adapter that `config` names, its ids replaced where it asks for that.

    Raises ConfigError for an unknown adapter, and for keyed ids without a key in the environment.
    """
    if config.adapter not in DATASETS:
        raise ConfigError(f"dataset {config.name!r}: unknown adapter {config.adapter!r}; known: {', '.join(DATASETS)}")
    dataset = DATASETS[config.adapter](config)  # type: ignore[call-arg]  # a Protocol names no constructor
    return Pseudonymised(dataset, read_key(os.environ)) if config.ids == "keyed-hash" else dataset


def identity_of_ids(config: DatasetConfig) -> dict[str, str]:
    """How ids are made, for the fingerprint: rows with ids of two kinds never share a bag. Raises ConfigError."""
    check = key_check(read_key(os.environ)) if config.ids == "keyed-hash" else ""
    return {"ids": config.ids, "key_check": check, "exam_key": config.exam_key}
