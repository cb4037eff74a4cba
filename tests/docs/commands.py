"""Commands of the pages as parsers, and as jobs run in this process."""

import argparse
import importlib.util
import sys
from functools import cache
from pathlib import Path

from docs.generate_command_line import job_parser_of
from tests.conftest import CHECKOUT
from tests.docs.pages import Command

from tilebank.flows.reporting.commands import job_files


def parser_of(command: Command) -> argparse.ArgumentParser:
    """The parser of the job that the command runs. Fails where there is no such command or file."""
    return _parser_of(_file_of(command))


def run_command(command: Command) -> int:
    """Run the command in this process; its exit status."""
    spec = importlib.util.spec_from_file_location("job", _file_of(command))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    given, sys.argv = sys.argv, ["tilebank", *command.flags]
    try:
        return int(module.main())
    finally:
        sys.argv = given


@cache
def _parser_of(file: Path) -> argparse.ArgumentParser:
    return job_parser_of(file)


def _file_of(command: Command) -> Path:
    file = CHECKOUT / "jobs" / f"{command.job}.py" if command.is_file else job_files().get(command.job)
    assert file is not None and file.is_file(), f"{command}: there is no such command"
    return file
