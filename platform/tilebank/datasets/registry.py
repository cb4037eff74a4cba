"""Adapters by name."""

from tilebank.datasets.folder import Folder
from tilebank.datasets.phantom import Phantom
from tilebank.datasets.study import Dataset, DatasetConfig
from tilebank.errors import ConfigError

DATASETS: dict[str, type[Dataset]] = {"folder": Folder, "phantom": Phantom}


def open_dataset(config: DatasetConfig) -> Dataset:
    """The adapter that `config` names. Raises ConfigError for an unknown one."""
    if config.adapter not in DATASETS:
        raise ConfigError(f"dataset {config.name!r}: unknown adapter {config.adapter!r}; known: {', '.join(DATASETS)}")
    return DATASETS[config.adapter](config)  # type: ignore[call-arg]  # a Protocol names no constructor
