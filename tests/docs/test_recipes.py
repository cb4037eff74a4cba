"""The recipes of docs/extending.md work as they are written."""

import types
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from tests.conftest import CHECKOUT
from tests.docs.pages import blocks_of

from tilebank.errors import DatasetError
from tilebank.mil.bags.bags import BagBatch
from tilebank.mil.fitting.fit import FitConfig, TrialConfig, fit_heads
from tilebank.mil.heads.registry import HEADS, HeadKind, build_head

PAGE = CHECKOUT / "docs" / "extending.md"


def recipe(name: str) -> str:
    """The block that is marked with this name."""
    (block,) = [one for one in blocks_of(PAGE, "python", "yaml") if one.mark == f"<!-- recipe: {name} -->"]
    return block.text


def module_of(name: str) -> Any:
    """The block as a module."""
    module = types.ModuleType(f"recipe_{name}")
    exec(compile(recipe(name), str(PAGE), "exec"), module.__dict__)
    return module


def bags_of(seed: int, *, breasts: int = 16, dim: int = 6) -> BagBatch:
    """Bags of two views and five tiles; of each second breast one tile is unlike all others."""
    rng = np.random.default_rng(seed)
    tiles = rng.normal(size=(breasts, 5, dim))
    tiles[::2, 0, 0] += 6
    return BagBatch.from_arrays(
        view_features=rng.normal(size=(2 * breasts, dim)).astype(np.float16),
        view_offsets=2 * np.arange(breasts + 1),
        tile_features=tiles.reshape(-1, dim).astype(np.float16),
        tile_offsets=5 * np.arange(breasts + 1),
        breast_ids=[f"breast-{number}" for number in range(breasts)],
        labels=1 - np.arange(breasts) % 2,
    )


def test_a_head_of_its_own_is_fitted_in_a_pack(monkeypatch: pytest.MonkeyPatch) -> None:
    module = module_of("head")
    settings = yaml.safe_load(recipe("head file"))
    monkeypatch.setitem(HEADS, settings["name"], HeadKind(module.SoftmaxPoolConfig, module.SoftmaxPool))
    config = module.SoftmaxPoolConfig(**settings)
    bags = bags_of(0)
    pack = build_head(config, dim=bags.dim, seeds=[0, 1])
    alone = build_head(config, dim=bags.dim, seeds=[1])
    torch.testing.assert_close(pack(bags)[1], alone(bags)[0])
    fitted = fit_heads(
        bags,
        bags_of(1),
        head=config,
        trials=[TrialConfig(seed=0), TrialConfig(seed=1)],
        config=FitConfig(max_epochs=60),
    )
    assert max(one.best_val_auc for one in fitted) > 0.9


def test_a_task_of_its_own_reads_its_column() -> None:
    task = module_of("task").task
    assert [task.label({"followup": text}, breast_id="A_L") for text in ("no", "Yes", "")] == [0, 1, None]
    with pytest.raises(DatasetError, match="followup is 'perhaps', not yes or no"):
        task.label({"followup": "perhaps"}, breast_id="A_L")
