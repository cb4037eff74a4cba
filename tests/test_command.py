"""The command `tilebank`: what it lists, and that a command is its job."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import CHECKOUT

from tilebank import __version__
from tilebank.flows.reporting.commands import command_name, job_files


def tilebank(*words: str, cwd: Path = CHECKOUT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "tilebank", *words], cwd=cwd, capture_output=True, text=True)


@pytest.mark.parametrize("words", [(), ("--help",)], ids=str)
def test_the_commands_are_listed_in_the_order_of_a_study(words: tuple[str, ...]) -> None:
    answer = tilebank(*words)
    listed = [line.split()[0] for line in answer.stdout.splitlines() if line.startswith("  ")]
    assert (answer.returncode, listed) == (0, list(job_files()))
    assert listed.index("phantom") < listed.index("extract") < listed.index("tune") < listed.index("predict")
    assert "  extract      Encode every image of a dataset once" in answer.stdout


def test_the_version_is_the_packages_own() -> None:
    assert tilebank("--version").stdout == f"tilebank {__version__}\n"
    assert tilebank("store", "--version").stdout == f"tilebank {__version__}\n"


def test_an_unknown_command_names_the_nearest() -> None:
    answer = tilebank("extrct")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr.startswith("tilebank: unknown command 'extrct' (did you mean 'extract'?)")


def test_a_command_is_its_job_from_any_folder(tmp_path: Path) -> None:
    for name, path in (("tune", "tune_head"), ("import-head", "import_head")):
        job = subprocess.run(
            [sys.executable, f"jobs/{path}.py", "--help"], cwd=CHECKOUT, capture_output=True, text=True
        )
        assert tilebank(name, "--help", cwd=tmp_path).stdout == job.stdout
        assert job.stdout.startswith(f"usage: tilebank {name} ")
    assert command_name("jobs/make_phantom.py") == "phantom"


def test_a_wrong_flag_ends_with_two_and_the_name_of_the_command(tmp_path: Path) -> None:
    answer = tilebank("store", "list", "--head", "x", cwd=tmp_path)
    assert answer.returncode == 2
    assert "tilebank store: error: unrecognized arguments: --head x" in answer.stderr


@pytest.mark.slow
def test_processes_that_a_command_spawns_find_the_job_again(tmp_path: Path) -> None:
    small = ("--patients", "2", "--rows", "256", "--columns", "192", "--root", str(tmp_path / "phantoms"))
    answer = tilebank("phantom", *small, cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert len(list((tmp_path / "phantoms").rglob("*.dcm"))) >= 8
