"""A head of the published code, imported with what is stated of it, scores as its own computation does."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.flows.conftest import MakeSettings
from torch import nn

from tilebank.errors import ConfigError, HeadError, TrackingError
from tilebank.flows.champion.import_published import ImportSummary, Stated, import_head
from tilebank.flows.champion.load import choose_head
from tilebank.flows.settings.choices import Choices
from tilebank.flows.settings.settings import Settings
from tilebank.mil.bags.bags import BagBatch
from tilebank.mil.heads.registry import score_bags

HIDDEN, LATENT = 16, 8


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Views alone, as fresh torch layers would draw them, under the published names."""
    torch.manual_seed(0)
    layers = {
        "global_proj_0.0": nn.Linear(110, HIDDEN),
        "global_proj_1.0": nn.Linear(HIDDEN, LATENT),
        "linear_out": nn.Linear(LATENT, 1),
    }
    state = {
        f"{name}.{part}": value.detach() for name, layer in layers.items() for part, value in layer.named_parameters()
    }
    save_file(state, tmp_path / "head.safetensors")
    return tmp_path / "head.safetensors"


def published_scores(checkpoint: Path, views: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """The published computation written out: two layers, the largest of each channel, one layer, a sigmoid."""
    w, z = load_file(checkpoint), torch.from_numpy(views).float()
    for name in ("global_proj_0.0", "global_proj_1.0"):
        z = torch.relu(z @ w[f"{name}.weight"].T + w[f"{name}.bias"])
    pooled = torch.stack([z[a:b].max(dim=0).values for a, b in pairwise(offsets)])
    return torch.sigmoid(pooled @ w["linear_out.weight"].T + w["linear_out.bias"])[:, 0].numpy()


def do_import(
    settings: Settings, checkpoint: Path, folder: Path, *, register: str = "", **said: object
) -> ImportSummary:
    stated = Stated(**{"task": "mass", "l2_normalise": False} | said)
    return import_head(settings, stated, checkpoint=checkpoint, folder=folder, register=register)


def choices_for(settings: Settings) -> Choices:
    return Choices(dataset="", encoder="", tracking=settings.tracking, store=settings.store)


def test_what_was_stated_stands_on_the_card_and_makes_the_settings(
    settings_for: MakeSettings, checkpoint: Path, tmp_path: Path
) -> None:
    settings = settings_for("reader.intensity=published")
    summary = do_import(settings, checkpoint, tmp_path / "head")
    assert "none stated (--threshold)" in summary.as_text()
    assert "there are no top tiles" in summary.as_text()
    chosen = choose_head(choices_for(settings), head=str(tmp_path / "head"), task="")
    assert (chosen.card.task, chosen.card.threshold, chosen.card.origin) == ("mass", None, "imported")
    assert chosen.settings.reader.intensity == "published"
    assert chosen.settings.fingerprint == settings.fingerprint
    assert chosen.card.source.startswith("head.safetensors, SHA-256 ")

    views = np.random.default_rng(0).normal(size=(3, 110)).astype(np.float16)
    offsets, none = np.array([0, 1, 3]), np.zeros((0, 110), np.float16)
    bags = BagBatch.from_arrays(
        view_features=views, view_offsets=offsets, tile_features=none, tile_offsets=offsets * 0, breast_ids=["a", "b"]
    )
    np.testing.assert_allclose(
        score_bags(chosen.head, bags)[0], published_scores(checkpoint, views, offsets), atol=1e-6
    )


def test_it_is_registered_as_a_version_but_never_as_the_champion(
    settings_for: MakeSettings, new_record: Callable[[Path], str], checkpoint: Path, tmp_path: Path
) -> None:
    settings = settings_for()
    new_record(tmp_path / "home")
    summary = do_import(settings, checkpoint, tmp_path / "head", register="phantom--mass--texture", threshold=0.25)
    assert "version 1; no champion, for it has no validation AUC here" in summary.registered
    choices = choices_for(settings)
    with pytest.raises(TrackingError, match=r"no alias champion.*versions: 1; aliases: none; write it as"):
        choose_head(choices, head="phantom--mass--texture", task="")
    with pytest.raises(TrackingError, match="has no version 7"):
        choose_head(choices, head="phantom--mass--texture/7", task="")
    with pytest.raises(
        TrackingError, match="registered as 'phantom--mas--texture'.*registered: phantom--mass--texture"
    ):
        choose_head(choices, head="phantom--mas--texture", task="")
    chosen = choose_head(choices, head="phantom--mass--texture/1", task="mass")
    assert (chosen.name, chosen.card.threshold) == ("phantom--mass--texture, version 1", 0.25)
    assert chosen.card == summary.card


def test_what_cannot_be_imported_is_refused_and_leaves_nothing(
    settings_for: MakeSettings, checkpoint: Path, tmp_path: Path
) -> None:
    settings = settings_for()
    with pytest.raises(HeadError, match="reads vectors of 110 numbers, the encoder dinov2-small gives 384"):
        do_import(settings_for(encoder="dinov2-small"), checkpoint, tmp_path / "head")
    with pytest.raises(ConfigError, match="unknown task 'mas'"):
        do_import(settings, checkpoint, tmp_path / "head", task="mas")
    with pytest.raises(ConfigError, match="--threshold nan is not a finite number"):
        do_import(settings, checkpoint, tmp_path / "head", threshold=float("nan"))
    with pytest.raises(HeadError, match="cannot read weights from"):
        do_import(settings, tmp_path / "nothing.pth", tmp_path / "head")
    assert not (tmp_path / "head").exists()
    with pytest.raises(HeadError, match="exists already"):
        do_import(settings, checkpoint, checkpoint.parent)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(HeadError, match="cannot write the head to"):
        do_import(settings, checkpoint, tmp_path / "file" / "head")
