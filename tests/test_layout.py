"""Rules of the tree that no single module can hold."""

import platform
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]
MOST_MODULES = 15
MOST_ALIKE = 2  # modules of one folder whose names begin with one word


def folders_of_modules() -> Iterator[Path]:
    for root in ("platform/tilebank", "tests", "jobs"):
        yield from sorted({path.parent.relative_to(CHECKOUT) for path in (CHECKOUT / root).rglob("*.py")})


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


def test_processes_that_read_images_or_fit_heads_import_only_what_they_need() -> None:
    wanted = {
        "tilebank.flows.engine.stages": ("torch", "lancedb", "mlflow"),
        "tilebank.flows.search.fit_pack": ("lancedb", "mlflow", "pydicom", "imagecodecs"),
    }
    for module, heavy in wanted.items():
        code = f"import sys, {module}; print([m for m in {heavy!r} if m in sys.modules])"
        answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert answer.stdout.strip() == "[]", module


def test_jobs_are_thin() -> None:
    for job in (CHECKOUT / "jobs").glob("*.py"):
        assert len(job.read_text().splitlines()) <= 60, f"{job.name}: a job parses, calls one flow and prints"


@pytest.mark.parametrize("folder", folders_of_modules(), ids=str)
def test_a_folder_is_small_and_no_prefix_stands_in_for_a_folder(folder: Path) -> None:
    modules = sorted(path.stem for path in (CHECKOUT / folder).glob("*.py") if path.stem != "__init__")
    if folder != Path("jobs"):  # the list of commands, a file each
        assert len(modules) <= MOST_MODULES, f"{folder} holds {len(modules)} modules; give some of them a folder"
    first_words = Counter(name.removeprefix("test_").split("_")[0] for name in modules)
    prefixes = [word for word, count in first_words.items() if count > MOST_ALIKE]
    assert not prefixes, f"{folder}: the prefix {prefixes} wants to be a folder"


def test_every_folder_of_the_package_says_what_is_in_it() -> None:
    for folder in {path.parent for path in (CHECKOUT / "platform" / "tilebank").rglob("*.py")}:
        assert (folder / "__init__.py").read_text().startswith('"""'), folder
