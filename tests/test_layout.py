"""Rules of the tree that no single module can hold."""

import platform
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]


def test_platform_is_a_source_root_and_no_package() -> None:
    # With an __init__.py it would shadow the standard library's `platform`, and nothing would start.
    assert not (CHECKOUT / "platform" / "__init__.py").exists()
    assert "tilebank" not in str(platform.__file__)
    assert platform.system()


def test_importing_the_package_imports_nothing_heavy() -> None:
    heavy = ("torch", "ray", "lance", "mlflow", "pydicom", "matplotlib")
    code = f"import sys, tilebank.config, tilebank.files; print([m for m in {heavy!r} if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_heads_and_encoders_need_no_ray_lance_or_mlflow() -> None:
    heavy = ("ray", "lance", "lancedb", "mlflow", "pydantic", "pydicom")
    code = (
        "import sys, tilebank.mil.fitting.fit, tilebank.mil.serving, tilebank.encoders.registry;"
        f"print([m for m in {heavy!r} if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_jobs_are_thin() -> None:
    for job in (CHECKOUT / "jobs").glob("*.py"):
        assert len(job.read_text().splitlines()) <= 60, f"{job.name}: a job parses, calls one flow and prints"
