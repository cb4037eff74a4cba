"""`tilebank NAME ...`: run the job of that name, the same as `python jobs/FILE.py ...` would."""

import ast
import runpy
import sys
from pathlib import Path

from tilebank import __version__
from tilebank.config import nearest
from tilebank.flows.reporting.commands import job_files

HELP = """usage: tilebank COMMAND [flags]

A distributed feature store for multiple-instance learning on mammograms: encode images once, then fit small heads.

commands, in the order of a study:
{commands}

`tilebank COMMAND --help` lists the flags of a command; `tilebank --version` shows the version.
"""
MISUSED = 2


def main() -> None:
    """Run the command that the arguments name. Exits with its status, or 2 for an unknown command."""
    jobs = job_files()
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("-h", "--help", "help"):
        sys.stdout.write(HELP.format(commands=_listed(jobs)))
    elif name == "--version":
        sys.stdout.write(f"tilebank {__version__}\n")
    elif name in jobs:
        del sys.argv[1]
        runpy.run_path(str(jobs[name]), run_name="__main__")
    else:
        sys.stderr.write(f"tilebank: unknown command {name!r}{nearest(name, jobs)}; `tilebank --help` lists them\n")
        sys.exit(MISUSED)


def _listed(jobs: dict[str, Path]) -> str:
    """A line a command: its name and the first line of its file's docstring, read without running it."""
    width = max(map(len, jobs), default=0)
    return "\n".join(f"  {name:<{width}}  {_first_line(path)}" for name, path in jobs.items())


def _first_line(path: Path) -> str:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0]


if __name__ == "__main__":
    main()
