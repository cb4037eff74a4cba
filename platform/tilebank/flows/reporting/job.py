"""Run a job from its flags to its exit status: a summary and 0, or one clear message and not 0."""

import argparse
import json
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from tilebank.errors import ConfigError, TilebankError
from tilebank.flows.reporting.flags import choices_of
from tilebank.flows.reporting.progress import show_bars

if TYPE_CHECKING:
    from tilebank.flows.settings.settings import Settings

FAILED = 1
MISUSED = 2
INTERRUPTED = 130


class Summary(Protocol):
    """What a flow returns: figures for a program, lines for a person. A flow that failed has raised, unless MayFail."""

    def as_dict(self) -> dict[str, object]:
        """JSON values."""
        ...

    def as_text(self) -> str:
        """A few aligned lines."""
        ...


@runtime_checkable
class MayFail(Protocol):
    """A summary of work that can come to its end in vain."""

    @property
    def failed(self) -> bool:
        """Whether the job reached its end without doing what it was for."""
        ...


def settings_of(args: argparse.Namespace) -> "Settings":
    """The settings that the shared flags ask for. Raises ConfigError."""
    from tilebank.flows.settings.settings import load_settings  # seconds of imports that --help need not pay

    return load_settings(choices_of(args))


def run_job(
    parser: argparse.ArgumentParser,
    flow: Callable[[argparse.Namespace], Summary],
    *,
    argv: Sequence[str] | None = None,
    show: Callable[[str], None],
    settings: Callable[[argparse.Namespace], "Settings"] = settings_of,
) -> int:
    """Parse, run, show the summary and write it; the exit status. `settings`: what --print-settings prints.

    0 done, 1 failed, 2 wrong flags or configuration, 130 interrupted. Only errors that Tilebank raised itself are
    turned into a message: anything else is a bug, and keeps its traceback.
    """
    args = parser.parse_args(argv)
    _set_logging(args.verbose, quiet=args.quiet)
    show_bars(shown=not (args.quiet or args.no_progress))
    try:
        if args.print_settings:
            show(_printed(args, settings))
            return 0
        if args.json:
            assert_writable("--json", args.json)
        summary = flow(args)
    except ConfigError as error:
        sys.stderr.write(f"{parser.prog}: {error}\n")
        return MISUSED
    except TilebankError as error:
        sys.stderr.write(f"{parser.prog}: {error}\n")
        return FAILED
    except KeyboardInterrupt:
        sys.stderr.write(
            f"{parser.prog}: interrupted; what was committed is kept, the same command goes on from there\n"
        )
        return INTERRUPTED
    show(summary.as_text())
    if args.json:
        args.json.write_text(json.dumps(summary.as_dict(), indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return FAILED if isinstance(summary, MayFail) and summary.failed else 0


def _set_logging(verbose: int, *, quiet: bool) -> None:
    """-q errors, else warnings; -v what Tilebank does, -vv its details and what libraries do."""
    level = logging.ERROR if quiet else logging.INFO if verbose > 1 else logging.WARNING
    ours = logging.ERROR if quiet else (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger().setLevel(level)
    logging.getLogger("tilebank").setLevel(ours)


def _printed(args: argparse.Namespace, settings: Callable[[argparse.Namespace], "Settings"]) -> str:
    """The settings as YAML; where a job has no settings of its own, with the place that wrote each value."""
    from tilebank.flows.settings.printing import settings_as_yaml
    from tilebank.flows.settings.settings import resolve_settings

    if settings is settings_of:
        return settings_as_yaml(*resolve_settings(choices_of(args)))
    return settings_as_yaml(settings(args), {})


def aligned(rows: Sequence[tuple[str, str]]) -> str:
    """Names and values as a block of text, values under each other."""
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def assert_writable(flag: str, place: Path) -> None:
    """Raise ConfigError for a place that cannot be written: before any work, not after it."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        stood = place.exists()
        with place.open("ab"):
            pass
        if not stood:  # a job that fails leaves no empty file
            place.unlink()
    except OSError as error:
        raise ConfigError(f"cannot write {flag} {place}: {error}; choose another path") from error
