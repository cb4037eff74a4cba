"""The commands of `tilebank`: what each is called, in the order of a study, and the job file that it runs."""

from collections.abc import Mapping
from pathlib import Path

COMMANDS: Mapping[str, str] = {
    "doctor": "doctor",
    "demo": "demo",
    "phantom": "make_phantom",
    "init": "init",
    "validate": "validate",
    "preview": "preview_tiles",
    "convert": "convert_checkpoint",
    "extract": "extract",
    "exchange": "exchange",
    "tune": "tune_head",
    "import-head": "import_head",
    "compare": "compare",
    "predict": "predict",
    "explain": "explain",
    "store": "store",
    "bench": "bench",
}
_PACKAGE = Path(__file__).resolve().parents[2]


def command_name(job: str | Path) -> str:
    """The command that runs a job's file, such as `tune` for tilebank tune."""
    stem = Path(job).stem
    return next((name for name, file in COMMANDS.items() if file == stem), stem)


def job_files() -> dict[str, Path]:
    """Command -> job file, in the order of a study; commands without a file are left out."""
    places = (_PACKAGE / "jobs", _PACKAGE.parents[1] / "jobs")  # an installed package; a checkout
    folder = next((place for place in places if (place / "extract.py").is_file()), places[0])
    files = {name: folder / f"{file}.py" for name, file in COMMANDS.items()}
    return {name: path for name, path in files.items() if path.is_file()}
