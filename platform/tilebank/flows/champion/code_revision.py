"""Say which code runs: the commit of the checkout that it is imported from, and hashes of its sources."""

import hashlib
import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import tilebank
from tilebank.tracking.inputs import RunSource

GIT_SECONDS = 10
JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"  # which Ray sets for the driver of a submitted job


def run_source() -> RunSource:
    """The program that runs, for the record: its script, the commit, and whether Ray runs it as a submitted job."""
    folder = Path(tilebank.__file__).parent
    is_ours = _git(folder, "ls-files", "--error-unmatch", "__init__.py") is not None
    commit = _git(folder, "rev-parse", "HEAD") if is_ours else None
    return RunSource(name=sys.argv[0] or "python", is_job=JOB in os.environ, commit=commit or "")


def code_revision() -> str:
    """`0.1.0, commit 0123456789ab`, with `and changes` where files differ from it; the version alone elsewhere."""
    try:
        found = version("tilebank")
    except PackageNotFoundError:  # the package was sent to a worker, not installed there
        found = "not installed"
    folder = Path(tilebank.__file__).parent
    if _git(folder, "ls-files", "--error-unmatch", "__init__.py") is None:  # a checkout of something else around it
        return found
    commit, changes = _git(folder, "rev-parse", "--short=12", "HEAD"), _git(folder, "status", "--porcelain", ".")
    return f"{found}, commit {commit}{' and changes' if changes else ''}"


def sources_of(package: str) -> dict[str, str]:
    """SHA-256 of every module of one of our packages: told apart before a commit, and the same after one elsewhere."""
    folder = Path(tilebank.__file__).parent / package
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*.py"))
    }


def _git(folder: Path, *words: str) -> str | None:
    """What git says, or None where there is no git, no checkout, or no answer."""
    try:
        answer = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=GIT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
