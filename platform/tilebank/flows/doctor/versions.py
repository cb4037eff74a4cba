"""Python and the main libraries, against the versions that were tested together."""

import platform
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

import tilebank
from tilebank.flows.doctor.check import Check, failed, passed, warned

CONSTRAINTS = "constraints.txt"
LEAST_PYTHON = (3, 11)
TESTED_PYTHON = (3, 11)
LIBRARIES = (
    *("torch", "transformers", "huggingface-hub", "safetensors", "ray", "lancedb", "pylance", "pyarrow", "mlflow"),
    *("numpy", "scipy", "pandas", "pydantic", "pydicom", "highdicom", "imagecodecs", "opencv-python-headless"),
)


def check_python() -> Iterator[Check]:
    """This interpreter's version."""
    found, here = platform.python_version(), sys.version_info[:2]
    if here < LEAST_PYTHON:
        yield failed("python", found, fix="use Python 3.11 or newer: make PYTHON=python3.11")
    elif here != TESTED_PYTHON:
        yield warned("python", f"{found}; tested with 3.11", fix="use Python 3.11 if something does not work")
    else:
        yield passed("python", f"{found} ({sys.executable})")


def check_libraries(names: Sequence[str] = LIBRARIES, *, pinned: Mapping[str, str] | None = None) -> Iterator[Check]:
    """The installed versions of the libraries `names`, against `pinned` (default: those of constraints.txt)."""
    tested = pinned_versions() if pinned is None else pinned
    installed = {name: _installed(name) for name in names}
    if missing := [name for name, found in installed.items() if not found]:
        fix = "install Tilebank again: make venv, or pip install ."
        yield failed("libraries", f"not installed: {', '.join(missing)}", fix=fix)
    differ = [
        f"{name} {found} (tested {tested[name]})"
        for name, found in installed.items()
        if found and name in tested and found.partition("+")[0] != tested[name]
    ]
    if differ:
        fix = f"pip install --constraint {CONSTRAINTS} . (of the source) brings the tested versions"
        yield warned("libraries", "; ".join(differ), fix=fix)
    elif not missing:
        shown = ", ".join(f"{name} {installed[name]}" for name in ("torch", "ray", "lancedb", "mlflow"))
        yield passed("libraries", f"{shown} and {len(installed) - 4} more" + (" as tested" if tested else ""))


def pinned_versions() -> Mapping[str, str]:
    """Library -> version of constraints.txt, in the checkout or the wheel's metadata; empty without one."""
    lines = _constraints().splitlines()
    pins = (line.partition("==") for line in lines if "==" in line and not line.startswith("#"))
    return {_normal(name): pinned.partition(";")[0].strip() for name, _, pinned in pins}


def _constraints() -> str:
    in_checkout = Path(tilebank.__file__).parents[2] / CONSTRAINTS
    if in_checkout.is_file():
        return in_checkout.read_text(encoding="utf-8")
    try:
        return distribution("tilebank").read_text(f"extra_metadata/{CONSTRAINTS}") or ""
    except PackageNotFoundError:  # code that Ray unpacked
        return ""


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _normal(name: str) -> str:
    """As PyPI compares names (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower().strip()
