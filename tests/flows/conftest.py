"""One Ray for the session, and settings whose roots are a folder of the test's own."""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.flows.feature_studies import SLIDES
from tests.foreign_features import Slides, write_labels

from tilebank.flows.settings.choices import Choices
from tilebank.flows.settings.settings import Settings, load_settings

MakeSettings = Callable[..., Settings]
MakeStudy = Callable[..., Settings]


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """Ray on this machine, started once."""
    import ray

    from tilebank.flows.engine.cluster import connect_ray

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        connect_ray()
        yield
        ray.shutdown()


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
