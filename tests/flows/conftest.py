"""One Ray for the session, and settings whose roots are a folder of the test's own."""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tilebank.flows.settings import Choices, Settings, load_settings

MakeSettings = Callable[..., Settings]


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
