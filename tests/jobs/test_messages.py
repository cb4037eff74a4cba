"""What a user reads: one clear message and the right status when something is wrong, figures when all is well."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.conftest import CHECKOUT, half_disc, make_dicom
from tests.jobs.conftest import IMAGES, RunHere, read_rows

from tilebank.flows.reporting.commands import command_name

pytestmark = pytest.mark.slow

JOBS = sorted(path.stem for path in (CHECKOUT / "jobs").glob("*.py"))
GENERAL = ("--set", "--json", "--help", "--version", "-v", "-q", "--no-progress", "--print-settings")
PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Mistake:
    """A command line that cannot work, and what must be said of it. `{tmp}` is a folder made for the mistakes."""

    words: str
    status: int
    says: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)


MISTAKES = {
    "unknown dataset": Mistake(
        "extract --dataset phantm",
        2,
        (
            "unknown dataset 'phantm'",
            "did you mean 'phantom'?",
            "known: cbis, cmmd, ",
            ", phantom, rsna, vindr",
        ),
    ),
    "misspelt --set": Mistake(
        "extract --set tiling.overlp=0.5", 2, ("--set tiling.overlp=0.5", "'tiling.overlp'", "did you mean 'overlap'?")
    ),
    "--set out of range": Mistake(
        "extract --set tiling.overlap=2", 2, ("--set tiling.overlap=2", "at least 0 and below 1")
    ),
    "misspelt key in a file": Mistake(
        "extract",
        2,
        ("conf/platform.yaml", "'extraction.comit_images'", "did you mean 'commit_images'?"),
        env={"TILEBANK_CONF": "{tmp}/conf"},
    ),
    "no conf": Mistake(
        "extract", 2, ("TILEBANK_CONF is {tmp}/none", "not a folder"), env={"TILEBANK_CONF": "{tmp}/none"}
    ),
    "negative limit": Mistake("extract --plan --dataset phantom --root {phantom} --limit -1", 2, ("limit", "-1")),
    "no image a task": Mistake(
        "extract --dataset phantom --root {phantom} --set extraction.images_per_task=0",
        2,
        ("extraction.images_per_task",),
    ),
    "empty folder": Mistake("extract --dataset folder --root {tmp}/hollow", 1, ("no DICOM file below {tmp}/hollow",)),
    "features without a layout": Mistake(
        "exchange import --dataset features --encoder uni --root {tmp}", 2, ("import needs --from LAYOUT",)
    ),
    "an unknown layout": Mistake("exchange export --to zip --out {tmp}/x", 2, ("argument --to", "'zip'", "'clam'")),
    "no features": Mistake(
        "exchange import --from clam --dataset features --encoder uni --root {tmp}/hollow",
        1,
        ("nothing below {tmp}/hollow looks like clam", "--from"),
    ),
    "an encoder without a name": Mistake(
        "exchange import --from clam --dataset features --root {tmp}", 2, ("name the encoder that made the features",)
    ),
    "unwritable store": Mistake(
        "extract --dataset phantom --root {phantom} --store {tmp}/file/store",
        1,
        ("cannot write to the store {tmp}/file/store", "--store URI"),
    ),
    "unwritable phantoms": Mistake(
        "make_phantom --root {tmp}/file/x --patients 1 --rows 256 --columns 192", 1, ("{tmp}/file/x", "--root")
    ),
    "unwritable pictures": Mistake(
        "preview_tiles --dataset phantom --root {phantom} --out {tmp}/file/x", 1, ("{tmp}/file/x", "--out")
    ),
    "nothing to compare": Mistake("compare --task mass", 1, ("no finished search of mass on phantom", "tilebank tune")),
    "unknown task": Mistake("compare --task malignant", 2, ("unknown task 'malignant'", "malignancy")),
    "folder without a head": Mistake("predict --folder {tmp}/hollow", 2, ("name the head for the folder", "--head")),
    "head of no folder": Mistake("predict --head {tmp}/none/at/all", 1, ("{tmp}/none/at/all", "save_head")),
    "folder to explain without a head": Mistake(
        "explain --folder {tmp}/hollow", 2, ("name the head for the folder", "--head")
    ),
    "head without a record": Mistake("predict --task mass", 1, ("there is no run record", "tilebank tune")),
    "head of nothing stated": Mistake(
        "import_head --checkpoint {tmp}/file --out {tmp}/head --l2-normalise no",
        2,
        ("--dataset", "--encoder", "--task"),
    ),
    "checkpoint that is none": Mistake(
        "import_head --checkpoint {tmp}/file --out {tmp}/head --dataset phantom --encoder texture --task mass"
        " --l2-normalise no",
        1,
        ("cannot read weights", "{tmp}/file"),
    ),
    "unwritable summary": Mistake(
        "extract --dataset phantom --root {phantom} --plan --json {tmp}/file/x.json", 2, ("{tmp}/file/x.json", "--json")
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the mistakes are about: an empty folder, a file in the way, settings with a misspelt key."""
    tmp = tmp_path_factory.mktemp("mistakes")
    (tmp / "hollow").mkdir()
    (tmp / "file").write_text("in the way")
    platform = shutil.copytree(CHECKOUT / "conf", tmp / "conf") / "platform.yaml"
    platform.write_text(platform.read_text().replace("commit_images", "comit_images"))
    return tmp


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_answered_by_one_message(
    name: str, run_here: RunHere, folder: Path, phantom_root: Path, tmp_path: Path
) -> None:
    def fill(text: str) -> str:
        return text.format(tmp=folder, phantom=phantom_root)

    mistake = MISTAKES[name]
    job, *flags = mistake.words.split()
    env = {name: fill(text) for name, text in mistake.env.items()}
    finished = run_here(tmp_path / "home", job, *map(fill, flags), env=env)
    assert finished.status == mistake.status, finished.err
    _, message = finished.err.split(f"tilebank {command_name(job)}: ")
    for part in mistake.says:
        assert fill(part) in message


@pytest.mark.parametrize("job", JOBS)
def test_help_names_the_general_flags_and_gives_an_example(job: str, run_here: RunHere, tmp_path: Path) -> None:
    finished = run_here(tmp_path / "home", job, "--help", env={})
    assert (finished.status, finished.err) == (0, "")
    before, examples = finished.out.split("examples:")
    missing = [flag for flag in GENERAL if flag not in before]
    assert not missing
    assert f"  tilebank {command_name(job)}" in examples


def test_a_folder_of_broken_files_fails_but_says_and_keeps_why(run_here: RunHere, tmp_path: Path) -> None:
    home, summary = tmp_path / "home", tmp_path / "summary.json"
    folder = tmp_path / "broken"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.dcm").write_text(f"letter {number}\n" * 50)
    finished = run_here(home, "extract", "--dataset", "folder", "--root", folder, "--json", summary)
    assert finished.status == 1
    assert "images stored" in finished.out
    assert "not a DICOM file" in finished.out
    failures = read_rows(f"{home}/store", kind="failures", dataset="folder").to_pylist()
    assert sorted(Path(row["uri"]).name for row in failures) == ["0.dcm", "1.dcm", "2.dcm"]
    assert {row["stage"] for row in failures} == {"read"}
    assert read_rows(f"{home}/store", dataset="folder").num_rows == 0
    assert sum(json.loads(summary.read_text())["failures"].values()) == 3


def test_a_plan_as_json_counts_right_and_leaves_nothing(run_here: RunHere, phantom_root: Path, tmp_path: Path) -> None:
    home, path = tmp_path / "home", tmp_path / "new" / "plan.json"
    finished = run_here(home, "extract", "--dataset", "phantom", "--root", phantom_root, "--plan", "--json", path)
    assert (finished.status, finished.err) == (0, "")
    plan = json.loads(path.read_text())
    counts = {name: plan[name] for name in ("images", "done", "failed_before", "pending", "refused", "filtered")}
    nothing = {"done": 0, "failed_before": 0, "refused": 0, "filtered": 0}
    assert counts == nothing | {"images": IMAGES, "pending": IMAGES}
    assert plan["fingerprint"] in finished.out
    assert not home.exists()


def test_a_report_on_files_needs_a_root_alone_and_is_written_where_the_user_stands(
    run_here: RunHere, tmp_path: Path
) -> None:
    folder = tmp_path / "Ordner ä"
    folder.mkdir()
    (folder / "left.dcm").write_bytes(make_dicom(half_disc(700, 500), SOPInstanceUID="2.25.10"))
    (folder / "letter.dcm").write_text("this is a letter, not an image\n" * 20)
    finished = run_here(tmp_path / "home", "validate", "--root", folder, "--sample", "0", cwd=tmp_path)
    assert finished.status == 0, finished.err
    assert "accept" in finished.out
    assert "validation.html" in finished.out
    assert (tmp_path / "validation.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_six_real_mammograms_are_six_pictures(run_here: RunHere, real_mammograms: Path, tmp_path: Path) -> None:
    words = ("--dataset", "folder", "--root", real_mammograms, "--out", tmp_path / "out")
    finished = run_here(tmp_path / "home", "preview_tiles", *words)
    assert finished.status == 0, finished.err
    pictures = sorted((tmp_path / "out").iterdir())
    assert len(pictures) == 6
    for picture in pictures:
        assert picture.read_bytes().startswith(PNG)
        assert f"{picture.name}: " in finished.out


def test_phantoms_are_written_once_and_not_mixed(run_here: RunHere, tmp_path: Path) -> None:
    home, root, size = tmp_path / "home", tmp_path / "phantoms", ("--rows", 256, "--columns", 192)
    first = run_here(home, "make_phantom", "--root", root, "--patients", 1, *size)
    assert first.status == 0, first.err
    assert "written to" in first.out
    files = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}
    assert any(path.suffix == ".dcm" for path in files)

    again = run_here(home, "make_phantom", "--root", root, "--patients", 1, *size)
    assert again.status == 0, again.err
    assert "are already at" in again.out

    other = run_here(home, "make_phantom", "--root", root, "--patients", 2, *size)
    assert other.status == 1
    assert "differs in settings ['patients']" in other.err
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()} == files
