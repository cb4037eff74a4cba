"""Settings whose roots are a folder of the test's own."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.flows.feature_studies import SLIDES
from tests.foreign_features import Slides, write_labels
from tests.once import made_once

from tilebank.flows.settings.choices import Choices
from tilebank.flows.settings.settings import Settings, load_settings

if TYPE_CHECKING:
    from tilebank.flows.search.ablation import AblationSummary

MakeSettings = Callable[..., Settings]
MakeStudy = Callable[..., Settings]


@dataclass(frozen=True)
class SearchedHeads:
    """Two heads searched one after the other, and settings whose roots hold them."""

    settings: Settings
    summary: "AblationSummary"


@pytest.fixture(scope="session")
def searched_heads(
    phantom_root: Path,
    phantom_store: Path,
    new_record: Callable[[Path], str],
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> SearchedHeads:
    """A search of two heads on the phantom study, made once. To be read."""

    def settings_at(home: Path) -> Settings:
        heads = ("search.heads=[tiles_inference, dual_stream]", "search.trials=2", "search.pack=2")
        fit = ("search.dropout=0.2", "search.fit.max_epochs=5", "splits.val=0.2", f"artifacts={home}/artifacts")
        places = {"store": str(home / "store"), "tracking": f"sqlite:///{home}/mlflow.db"}
        return load_settings(Choices(root=str(phantom_root), set=(*heads, *fit), **places))

    def search(home: Path) -> "AblationSummary":
        from tilebank.flows.search.ablation import tune_heads

        request.getfixturevalue("ray_session")
        new_record(home)
        shutil.copytree(phantom_store, home / "store")
        return tune_heads(settings_at(home), task="malignancy")

    home, summary = made_once(tmp_path_factory, "searched-heads", search)
    return SearchedHeads(settings_at(home), summary)


@pytest.fixture
def settings_for(tmp_path: Path, phantom_root: Path, monkeypatch: pytest.MonkeyPatch) -> MakeSettings:
    """`settings_for("key=value", ..., dataset=...)`: roots below this test's folder, phantoms by default."""
    monkeypatch.setenv("TILEBANK_HOME", str(tmp_path / "home"))
    for name in ("STORE", "TRACKING", "ARTIFACTS", "CONF"):
        monkeypatch.delenv(f"TILEBANK_{name}", raising=False)

    def make(*pairs: str, **choices: str) -> Settings:
        return load_settings(replace(Choices(root=str(phantom_root), set=pairs), **choices))

    return make


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeStudy:
    """`study(root, slides)`: settings of an import, with labels for all of `slides`."""

    monkeypatch.setenv("TILEBANK_HOME", str(tmp_path / "home"))

    def make(root: Path, slides: Slides = SLIDES, *pairs: str, patients: int = 0, **choices: str) -> Settings:
        labels = choices.pop("labels", str(write_labels(tmp_path / "labels.csv", slides, patients=patients)))
        said = (f"dataset.labels={labels}", "splits.val=0.2", *pairs)
        return load_settings(replace(Choices(dataset="features", encoder="uni", root=str(root), set=said), **choices))

    return make
