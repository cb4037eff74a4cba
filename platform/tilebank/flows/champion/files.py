"""Write a head and its card as files for MLflow's registry."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version as version_of
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import tilebank
from tilebank.flows.champion.card import HeadCard
from tilebank.mil.heads.registry import Head, save_head
from tilebank.mil.serving import score_columns
from tilebank.store.records import BagArrays
from tilebank.tracking.registry import ServedModel

SERVING = "tilebank.mil.serving"
SERVING_NEEDS = ("numpy", "pandas", "safetensors", "torch")


@contextmanager
def champion_files(head: Head, card: HeadCard, *, example: BagArrays) -> Iterator[ServedModel]:
    """The champion in a temporary folder, with its card; the first breast of `example` shows its input."""
    views = example.view_features[: example.view_offsets[1]]
    tiles = example.tile_features[: example.tile_offsets[1]]
    with tempfile.TemporaryDirectory() as folder:
        save_head(head, Path(folder), metadata=card.as_metadata())
        yield served_model(head, Path(folder), views=views, tiles=tiles)


def served_model(head: Head, folder: Path, *, views: NDArray[np.floating], tiles: NDArray[np.floating]) -> ServedModel:
    """The head that `save_head` wrote into `folder`, as the registry takes it; views and tiles show its input."""
    return ServedModel(
        folder=folder,
        loader_module=SERVING,
        code=Path(tilebank.__file__).parent,
        requirements=[f"{package}=={version_of(package).split('+')[0]}" for package in SERVING_NEEDS],
        example_kinds=["view"] * len(views) + ["tile"] * len(tiles),
        example_vectors=np.concatenate([views, tiles]),
        score_columns=score_columns(head.outputs),
    )
