"""The wheel: everything that the command needs travels in it."""

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest
from tests.conftest import CHECKOUT

from tilebank import __version__
from tilebank.flows.reporting.commands import COMMANDS


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=CHECKOUT, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    assert path.name.startswith(f"tilebank-{__version__}-")
    return ZipFile(path)


def files_below(folder: str, *patterns: str) -> set[str]:
    root = CHECKOUT / folder
    return {path.relative_to(root).as_posix() for pattern in patterns for path in root.rglob(pattern)}


def test_code_templates_configuration_and_jobs_are_in_the_wheel(wheel: ZipFile) -> None:
    held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    code = {f"tilebank/{file}" for file in files_below("platform/tilebank", "*.py", "*.j2", "py.typed")}
    conf = {f"tilebank/conf/{file}" for file in files_below("conf", "*.yaml")}
    jobs = {f"tilebank/jobs/{file}" for file in files_below("jobs", "*.py")}
    assert len(conf) > 50
    assert any(file.endswith(".j2") for file in code)
    assert held == code | conf | jobs


def test_the_versions_that_were_tested_are_among_the_wheels_metadata(wheel: ZipFile) -> None:
    (path,) = (name for name in wheel.namelist() if name.endswith("extra_metadata/constraints.txt"))
    assert wheel.read(path) == (CHECKOUT / "constraints.txt").read_bytes()


def test_the_wheel_installs_the_command(wheel: ZipFile) -> None:
    (entry_points,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert "tilebank = tilebank.__main__:main" in wheel.read(entry_points).decode()


def test_the_unpacked_wheel_lists_its_commands_and_keeps_data_where_it_is_called(
    wheel: ZipFile, tmp_path: Path
) -> None:
    wheel.extractall(tmp_path / "site")
    (tmp_path / "work").mkdir()
    code = f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r}); sys.argv[0] = 'tilebank';"
    code += "from tilebank.__main__ import main; main()"

    def tilebank(*words: str) -> str:
        command = [sys.executable, "-c", code, *words]
        done = subprocess.run(command, cwd=tmp_path / "work", capture_output=True, text=True, check=True, env={})
        return done.stdout

    listed = tilebank("--help")
    assert [name for name, file in COMMANDS.items() if (CHECKOUT / "jobs" / f"{file}.py").exists()] == [
        line.split()[0] for line in listed.splitlines() if line.startswith("  ")
    ]
    printed = tilebank("extract", "--print-settings")
    assert f"home: {tmp_path}/work/tilebank-data  # tilebank/conf/platform.yaml" in printed
