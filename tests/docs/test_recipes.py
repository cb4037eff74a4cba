"""The recipes of docs/extending.md work as they are written."""

import shutil
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from pydicom import dcmread
from tests.conftest import CHECKOUT
from tests.docs.pages import blocks_of

from tilebank.datasets.registry import DATASETS
from tilebank.errors import DatasetError
from tilebank.flows.settings.choices import Choices
from tilebank.flows.settings.settings import load_settings
from tilebank.flows.validate.validate import validate
from tilebank.mil.bags.bags import BagBatch
from tilebank.mil.fitting.fit import FitConfig, TrialConfig, fit_heads
from tilebank.mil.heads.registry import HEADS, HeadKind, build_head

SIDES = {"L": "left", "R": "right"}
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


def test_a_dataset_of_its_own_is_validated(
    monkeypatch: pytest.MonkeyPatch, phantom_root: Path, tmp_path: Path, ray_session: None
) -> None:
    """Four images of the phantom study under an owner's table; one of them of a view that is not asked for."""
    for image in sorted(phantom_root.rglob("*.dcm"))[:4]:
        shutil.copy(image, tmp_path)
    headers = [(image.name, dcmread(image)) for image in sorted(tmp_path.glob("*.dcm"))]
    lines = [
        f"{read.PatientID},{read.AccessionNumber},{SIDES[read.ImageLaterality]},{read.ViewPosition},{name},1"
        for name, read in headers
    ]
    lines[0] = lines[0].replace(",MLO,", ",ML,").replace(",CC,", ",ML,")
    (tmp_path / "images.csv").write_text("\n".join(["patient,study,side,view,file,cancer", *lines]))
    monkeypatch.setitem(DATASETS, "hillside", module_of("dataset").Hillside)
    conf = tmp_path / "conf" / "datasets" / "hillside.yaml"
    conf.parent.mkdir(parents=True)
    conf.write_text(recipe("dataset file"))
    monkeypatch.setenv("TILEBANK_CONF", str(tmp_path / "conf"))
    summary = validate(
        load_settings(Choices(dataset="hillside", root=str(tmp_path))), pixels=True, sample=0, html=tmp_path / "v.html"
    )
    counts = summary.report.all
    assert (counts.accept, counts.filter, counts.refuse) == (3, 1, 0)
    assert summary.unlabelled["cancer"].startswith("all 2 labelled breasts are of class 1")
