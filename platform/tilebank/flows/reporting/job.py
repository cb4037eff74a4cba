"""The flags that every job shares, and the way a job ends: summary and 0, or one clear message and not 0."""

import argparse
import json
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from tilebank.config import known_names
from tilebank.errors import ConfigError, TilebankError
from tilebank.flows.settings.settings import Choices, Settings, load_settings

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


def job_parser(description: str, *, examples: str) -> argparse.ArgumentParser:
    """A parser with the flags that all jobs speak; a job adds its own, and may give one of these its own meaning."""
    parser = argparse.ArgumentParser(
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        conflict_handler="resolve",
    )
    defaults = Choices()
    for flag, kind, what in (
        ("dataset", "datasets", "which study"),
        ("encoder", "encoders", "which frozen encoder"),
        ("head", "heads", "which head"),
        ("search", "searches", "which search"),
    ):
        names = _names(kind)
        default = getattr(defaults, flag)
        parser.add_argument(f"--{flag}", default=default, metavar="NAME", help=f"{what}: {names} (default %(default)s)")
    parser.add_argument("--task", default="malignancy", metavar="NAME", help="which question (default malignancy)")
    parser.add_argument("--root", default="", metavar="URI", help="where the dataset lies, if not where its conf says")
    parser.add_argument("--store", default="", metavar="URI", help="where the LanceDB tables are kept")
    parser.add_argument("--tracking", default="", metavar="URI", help="the MLflow tracking server or database")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="set any key of conf/, e.g. tiling.overlap=0.25"
    )
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the summary as JSON")
    return parser


def at_least(lowest: int) -> Callable[[str], int]:
    """The type of a flag that takes a whole number from `lowest` on."""

    def number(text: str) -> int:
        if not text.lstrip("-").isdigit() or int(text) < lowest:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {lowest}")
        return int(text)

    return number


def choices_of(args: argparse.Namespace) -> Choices:
    """What the shared flags say."""
    return Choices(
        dataset=args.dataset,
        encoder=args.encoder,
        head=args.head,
        search=args.search,
        root=args.root,
        store=args.store,
        tracking=args.tracking,
        set=tuple(args.set),
    )


def settings_of(args: argparse.Namespace) -> Settings:
    """The settings that the shared flags ask for."""
    return load_settings(choices_of(args))


def run_job(
    parser: argparse.ArgumentParser,
    flow: Callable[[argparse.Namespace], Summary],
    *,
    argv: Sequence[str] | None = None,
    show: Callable[[str], None],
) -> int:
    """Parse, run, show the summary and write it; the exit status.

    0 done, 1 failed, 2 wrong flags or configuration, 130 interrupted. Only errors that Tilebank raised itself are
    turned into a message: anything else is a bug, and keeps its traceback.
    """
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
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


def _names(kind: str) -> str:
    try:
        return ", ".join(known_names(kind))
    except ConfigError:
        return f"a file in conf/{kind}"  # --help is answered all the same; the run will say what is wrong
