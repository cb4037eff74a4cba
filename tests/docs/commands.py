"""Commands of the pages as parsers, and as programs run in this process."""

import argparse
import runpy
import sys
from functools import cache
from pathlib import Path

from docs.generate_command_line import job_parser_of
from tests.conftest import CHECKOUT
from tests.docs.pages import Command

from tilebank.__main__ import main
from tilebank.flows.reporting.commands import job_files


def parser_of(command: Command) -> argparse.ArgumentParser:
    """The parser of the job that the command runs. Fails where there is no such command or file."""
    return _parser_of(_file_of(command))


def run_command(command: Command) -> int:
    """Run the command in this process; its exit status."""
    given = sys.argv
    try:
        if command.is_file:
            sys.argv = [f"jobs/{command.job}.py", *command.flags]
            runpy.run_path(str(_file_of(command)), run_name="__main__")
        else:
            sys.argv = ["tilebank", command.job, *command.flags]
            main()
    except SystemExit as ended:
        return int(ended.code or 0)
    finally:
        sys.argv = given
    return 0


@cache
def _parser_of(file: Path) -> argparse.ArgumentParser:
    return job_parser_of(file)


def _file_of(command: Command) -> Path:
    file = CHECKOUT / "jobs" / f"{command.job}.py" if command.is_file else job_files().get(command.job)
    assert file, f"{command}: there is no such command"
    assert file.is_file(), f"{command}: there is no such file"
    return file
