"""A small phantom study, one Ray for the session, and settings whose roots are a folder of the test's own."""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tilebank.flows.settings import Choices, Settings, load_settings
from tilebank.phantom.writer import PhantomConfig, write_phantoms

MakeSettings = Callable[..., Settings]


@pytest.fixture(scope="session")
def phantom_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty patients at 512 x 384: small enough to be quick, many enough to be split."""
    root = tmp_path_factory.mktemp("phantom")
    write_phantoms(str(root), PhantomConfig(patients=30, rows=512, columns=384, max_exams=1), processes=2)
    return root


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """Ray on this machine, started once."""
    import ray

    from tilebank.flows.runtime import connect_ray

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
