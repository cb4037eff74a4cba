"""The parsers of all jobs: what they import, how much memory --help takes, and which dataset --root means."""

import argparse
import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import CHECKOUT

from tilebank.flows.reporting.commands import COMMANDS, job_files
from tilebank.flows.reporting.flags import JobParser, choices_of

JOBS = sorted(path.stem for path in (CHECKOUT / "jobs").glob("*.py"))
HEAVY = ("ray", "torch", "mlflow", "lance", "matplotlib", "transformers", "pandas", "scipy", "cv2", "pydantic", "numpy")
MOST_MB = 100
ASKED = """
import json, re, runpy, sys
from pathlib import Path
sys.argv = [{job!r}, "--help"]
try:
    runpy.run_path({job!r}, run_name="__main__")
except SystemExit as ended:
    status = ended.code
heavy = [name for name in {heavy!r} if name in sys.modules]
# Of this program alone; ru_maxrss would count what the process held before it became Python.
memory_kb = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
print(json.dumps([status, heavy, memory_kb]))
"""


def parser_of(job: str) -> JobParser:
    parser: JobParser = runpy.run_path(str(CHECKOUT / "jobs" / f"{job}.py"))["parser"]()
    return parser


def takes(job: str, flag: str) -> bool:
    return any(flag in action.option_strings for action in parser_of(job)._actions)


@pytest.mark.parametrize("job", JOBS)
def test_help_imports_nothing_heavy_and_takes_little_memory(job: str) -> None:
    code = ASKED.format(job=f"jobs/{job}.py", heavy=HEAVY)
    answer = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    status, heavy, memory_kb = json.loads(answer.stdout.splitlines()[-1])
    assert (status or 0, heavy) == (0, [])
    assert memory_kb / 1024 < MOST_MB


@pytest.mark.parametrize("job", [job for job in JOBS if takes(job, "--root") and job != "init"])
def test_a_root_alone_is_a_folder_and_a_named_dataset_stays(job: str) -> None:
    def dataset(*flags: str) -> str:
        words = {"exchange": ("import",)}.get(job, ())
        return choices_of(parser_of(job).parse_args([*words, *flags])).dataset

    own = {"make_phantom": "phantom"}.get(job, "folder")  # it writes phantoms, wherever that is
    assert dataset("--root", "/images") == own
    assert dataset("--dataset", "rsna", "--root", "/images") == "rsna"
    assert dataset() == "phantom"


def test_jobs_that_take_a_root_are_those_that_read_or_write_a_dataset() -> None:
    rooted = {job for job in JOBS if takes(job, "--root")}
    assert rooted >= {"make_phantom", "validate", "preview_tiles", "extract", "exchange", "tune_head", "explain"}
    assert not rooted & {"store", "compare", "import_head", "convert_checkpoint", "bench"}


@pytest.mark.parametrize(
    ("job", "flag"),
    [("make_phantom", "--head"), ("make_phantom", "--task"), ("store", "--search"), ("bench", "--head")],
)
def test_a_flag_that_means_nothing_to_a_job_is_refused(job: str, flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parser_of(job).parse_args([*(("list",) if job == "store" else ()), flag, "x"])
    assert ended.value.code == 2
    assert f"unrecognized arguments: {flag}" in capsys.readouterr().err


def test_names_are_listed_where_they_are_chosen_and_nowhere_else() -> None:
    texts = {job: parser_of(job).format_help() for job in JOBS}
    assert [job for job, text in texts.items() if "dinov3-vith16plus" in text] == ["extract"]
    assert [job for job, text in texts.items() if "set_transformer" in text] == ["tune_head"]
    assert [job for job, text in texts.items() if "BI-RADS 1 -> 0; 4, 5, 6 -> 1" in text] == ["tune_head"]


def test_a_short_flag_and_set_are_one_and_the_last_counts() -> None:
    def pairs(*flags: str) -> tuple[str, ...]:
        return choices_of(parser_of("tune_head").parse_args(flags)).set

    assert pairs("--trials", "3", "--set", "search.trials=5") == ("search.trials=3", "search.trials=5")
    assert pairs() == ()
    with pytest.raises(SystemExit):
        pairs("--trials", "0")


def test_every_job_is_a_command_and_every_flag_is_explained() -> None:
    assert {path.stem for path in job_files().values()} == set(JOBS)
    assert set(JOBS) <= set(COMMANDS.values())
    for job in JOBS:
        unexplained = [action.dest for action in parser_of(job)._actions if action.help in (None, argparse.SUPPRESS)]
        assert not unexplained, job


def test_the_settings_are_printed_as_yaml_with_the_place_that_wrote_each(tmp_path: Path) -> None:
    import yaml

    words = ["jobs/extract.py", "--print-settings", "--set", "tiling.overlap=0.25", "--root", str(tmp_path)]
    answer = subprocess.run([sys.executable, *words], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    printed = yaml.safe_load(answer.stdout)
    assert printed["tiling"]["overlap"] == 0.25
    assert printed["dataset"]["root"] == str(tmp_path)
    assert "  overlap: 0.25  # --set tiling.overlap=0.25" in answer.stdout
    assert "  working_px: 512  # conf/platform.yaml" in answer.stdout
    assert "  adapter: folder  # conf/datasets/folder.yaml" in answer.stdout
