"""Every command in README and docs: its flags exist, and what can run on the demo is run on a small one."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from tests.cases import with_long
from tests.conftest import CHECKOUT
from tests.docs.commands import parser_of, run_command
from tests.docs.pages import PAGES, Command, blocks_of, commands_in_text_of, commands_of
from tests.foreign_features import make_slides, write_labels, write_trident

RUNNABLE = [page for page in PAGES if any(command.run for command in commands_of(page))]
SEARCHES = ("heads.md", "labels.md", "results.md", "searches.md")  # a search or more each: many minutes together
LONG = (*SEARCHES, "own-data.md", "compare.md", "explain.md", "exchange.md")
TRIALS = "2"
QUICK = ("search.fit.max_epochs=3", "evaluation.replicates=50", "search.pack=36")
SLIDES = make_slides(30)
PREPARED = "tune --dataset demo --task malignancy"  # pages after the first read what a search has left


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_flags_of_commands_exist(page: Path) -> None:
    for command in commands_of(page):
        parser_of(command).parse_args(command.flags)  # exits, with the reason, where a flag is wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_flags_in_running_text_exist(page: Path) -> None:
    for command in commands_in_text_of(page):
        known = parser_of(command)._option_string_actions
        unknown = [word for word in command.flags if word.startswith("-") and word not in known]
        assert not unknown, f"{command}: {unknown}"


def test_blocks_that_are_not_run_give_a_reason() -> None:
    for page in PAGES:
        for line in page.read_text(encoding="utf-8").splitlines():
            if line.startswith("<!-- parse"):
                reason = line.removeprefix("<!-- parse:").removesuffix("-->").strip()
                assert len(reason) > 8, f"{page.name}: {line}"


def test_targets_of_make_exist() -> None:
    targets = {line.split(":")[0] for line in (CHECKOUT / "Makefile").read_text().splitlines() if ":" in line}
    for page in PAGES:
        for block in blocks_of(page, "bash"):
            for line in block.text.splitlines():
                if line.startswith("make "):
                    assert line.split()[1] in targets, f"{page.name}: {line}"


@dataclass(frozen=True)
class Reader:
    """Somebody who follows the pages in a folder: `dicoms` and `new-exam` in the home folder, labels here.

    ran: the commands that have run and need not run again, as pages share some.
    """

    here: Path
    ran: set[tuple[str, ...]] = field(default_factory=set)


@pytest.fixture(scope="module")
def reader(
    phantom_root: Path, phantom_store: Path, ray_session: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Reader]:
    """The demo at 30 patients, extracted and searched, and the files that the pages name."""
    here = tmp_path_factory.mktemp("reader")
    home = here / "home"
    (home / "tilebank-data").mkdir(parents=True)
    for place in (home / "dicoms", home / "tilebank-data" / "demo"):
        place.symlink_to(phantom_root, target_is_directory=True)
    shutil.copytree(phantom_root / "PH-0001", home / "new-exam")
    shutil.copy(phantom_root / "breasts.csv", here / "labels.csv")
    write_trident(here / "job_dir", SLIDES)
    write_labels(here / "slide_labels.csv", SLIDES)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        patch.setenv("HOME", str(home))
        patch.setenv("TILEBANK_HOME", str(home / "tilebank-data"))
        for name in ("CONF", "STORE", "TRACKING", "ARTIFACTS"):
            patch.delenv(f"TILEBANK_{name}", raising=False)
        for table in phantom_store.glob("*--phantom--texture.lance"):
            shutil.copytree(table, home / "tilebank-data" / "store" / table.name.replace("--phantom--", "--demo--"))
        name, *flags = PREPARED.split()
        assert run_command(quick(Command(here, name, is_file=False, flags=tuple(flags)))) == 0
        yield Reader(here)


@pytest.mark.parametrize("name", SEARCHES)
def test_settings_of_searches_resolve(name: str, reader: Reader, capsys: pytest.CaptureFixture[str]) -> None:
    for command in commands_of(CHECKOUT / "docs" / name):
        if command.run and command.job == "tune":
            printed = replace(command, flags=(*command.flags, "--print-settings"))
            assert run_command(printed) == 0, f"{command}\n{capsys.readouterr().err}"


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    with_long(RUNNABLE, [page for page in RUNNABLE if page.name in LONG]),
    ids=lambda page: page.name,
)
def test_commands_run_on_the_demo(page: Path, reader: Reader, capsys: pytest.CaptureFixture[str]) -> None:
    for command in commands_of(page):
        words = (command.job, *command.flags)
        if command.run and words not in reader.ran:
            status = run_command(quick(command))
            reader.ran.add(words)
            out, err = capsys.readouterr()
            assert status == 0, f"{command}\n{err}"
            assert out.strip(), f"{command} said nothing"


def quick(command: Command) -> Command:
    """The command with fewer trials, epochs and replicates, on the small study, `~` written out."""
    flags = [str(Path(word).expanduser()) if word.startswith("~") else word for word in command.flags]
    for place, word in enumerate(flags[1:], start=1):
        if word == "phantom" and flags[place - 1] == "--dataset":  # results.md is about the larger study
            flags[place] = "demo"
    return Command(command.page, command.job, command.is_file, (*flags, *_quicker(command.job, flags)), command.run)


def _quicker(job: str, flags: list[str]) -> list[str]:
    """What is said after the flags of a command, and so wins."""
    if job == "phantom":
        return ["--patients", "1", "--rows", "512", "--columns", "384", "--root", "few"]
    if job == "init":  # two pages name their study alike
        return ["--force"]
    if job == "explain":
        return ["--limit", "1", *_set("explain.draws=1", QUICK[1])]
    if job != "tune":
        return []
    many = any(name in flags for name in ("ablation", "heads", "transformers"))
    heads = ["search.heads=[dual_stream, mean]"] if many else []
    return ["--trials", TRIALS, *_set(*QUICK, *heads)]


def _set(*pairs: str) -> list[str]:
    return [word for pair in pairs for word in ("--set", pair)]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["detection.md", "library.md"])
def test_python_on_a_page_runs(name: str, reader: Reader, capsys: pytest.CaptureFixture[str]) -> None:
    page = CHECKOUT / "docs" / name
    names: dict[str, object] = {"__name__": "page"}
    for block in blocks_of(page, "python"):
        exec(compile(block.text, str(page), "exec"), names)  # one page, one session
    assert capsys.readouterr().out.strip()


@pytest.mark.slow
@pytest.mark.long
def test_the_notebook_runs_on_the_demo(reader: Reader) -> None:
    notebook = nbformat.read(CHECKOUT / "docs" / "library.ipynb", as_version=4)
    for cell in notebook.cells:
        cell["outputs"] = [] if cell.cell_type == "code" else None
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(reader.here)}}).execute()
    shown = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell["outputs"]]
    assert sum("image/png" in output.get("data", {}) for output in shown) == 2  # the curves, and where the head looks
    assert "score" in shown[-1]["data"]["text/plain"]
