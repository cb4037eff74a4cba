"""The parser of a job: the flags that jobs share, and a group for each kind of the job's own."""

import argparse
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tilebank import __version__
from tilebank.config import known_names
from tilebank.errors import ConfigError
from tilebank.flows.reporting.commands import command_name
from tilebank.flows.settings.choices import Choices

_PLAIN = argparse.RawDescriptionHelpFormatter


@dataclass(frozen=True)
class _Shared:
    """A flag that several jobs take. `kind`: the folder of conf/ whose names may be given; `lister`: who lists them."""

    group: str
    metavar: str
    what: str
    default: str = ""
    kind: str = ""
    lister: str = ""

    def help(self) -> str:
        """The text for a job that does not list the names, unless nobody else lists them."""
        if not self.kind:
            return self.what
        if self.lister:
            return f"{self.what}: a file in conf/{self.kind}, listed by `tilebank {self.lister} --help`"
        return f"{self.what}: {_names(self.kind)}"


SHARED = {
    "dataset": _Shared("what", "NAME", "which study", kind="datasets"),
    "encoder": _Shared("what", "NAME", "which encoder", Choices.encoder, kind="encoders", lister="extract"),
    "head": _Shared("what", "NAME", "which head", Choices.head, kind="heads", lister="tune"),
    "task": _Shared("what", "NAME", "which question, listed by `tilebank tune --help`", "malignancy"),
    "search": _Shared("how", "NAME", "which search", Choices.search, kind="searches", lister="tune"),
    "root": _Shared("where", "URI", "where the dataset lies; without --dataset: your own folder or bucket of DICOMs"),
    "store": _Shared("where", "URI", "where the LanceDB tables are kept"),
    "tracking": _Shared("where", "URI", "the MLflow tracking server or database"),
}


class JobParser(argparse.ArgumentParser):
    """A job's flags in four groups (`what`, `where`, `how`, `output`) and the general ones that every job has.

    file: the job's own, which names the command; examples: whole command lines, a line each.
    """

    def __init__(self, file: str, description: str | None, *, examples: str) -> None:
        name = f"tilebank {command_name(file)}"
        super().__init__(
            prog=name,
            description=description,
            epilog=examples,
            formatter_class=_PLAIN,
            add_help=False,
            allow_abbrev=False,  # a flag that this job lacks must not be taken for a longer one
        )
        self.what, self.where, self.how, self.output, general = (
            self.add_argument_group(title) for title in ("what", "where", "how", "output", "general")
        )
        self.how.add_argument(
            "--set",
            action="append",
            default=[],
            metavar="KEY=VALUE",
            help="set any key of conf/ for this run, e.g. tiling.overlap=0.25; may be given often",
        )
        self.output.add_argument("--json", type=Path, metavar="PATH", help="write the summary as JSON")
        _add_general(general)

    def share(self, *names: str) -> None:
        """Take these flags of SHARED as they are."""
        for name in names:
            self.share_as(name, SHARED[name].help(), default=SHARED[name].default)

    def share_as(self, name: str, what: str, *, default: str = "", required: bool = False) -> None:
        """Take a flag of SHARED with a text and a default of the job's own."""
        shared = SHARED[name]
        said = f"{what} (default {default})" if default else what
        if name == "dataset" and not (default or required or "default" in what):
            said = f"{what} (default phantom; with --root: folder)"
        group = self.groups[shared.group]
        group.add_argument(f"--{name}", default=default, required=required, metavar=shared.metavar, help=said)

    def share_fitted_head(self) -> None:
        """The flags that choose a fitted head; what they do not say is the head's own."""
        for name in ("dataset", "encoder", "task"):
            self.share_as(name, f"{SHARED[name].what} (default: that of the head)")
        what = "NAME, NAME@ALIAS or NAME/VERSION of a registered head, or a folder (default: the champion)"
        self.what.add_argument("--head", dest="fitted", default="", metavar="HEAD", help=what)

    def list_names(self, name: str) -> str:
        """The text of a shared flag with all names, for the job that chooses one of them."""
        return f"{SHARED[name].what}: {_names(SHARED[name].kind)}"

    def add_list(self, title: str, rows: Mapping[str, str]) -> None:
        """Names and what they mean, as a block of the help above the examples."""
        width = max(map(len, rows))
        lines = "\n".join(f"  {name:<{width}}  {what}" for name, what in rows.items())
        self.epilog = f"{title}:\n{lines}\n\n{self.epilog}"

    def add_setting(
        self, flag: str, key: str, *, kind: Callable[[str], object] = str, metavar: str, what: str, group: str = "how"
    ) -> None:
        """A flag that is short for `--set KEY=VALUE`; of both, the last one given counts."""

        def pair(text: str) -> str:
            return f"{key}={kind(text)}"

        self.groups[group].add_argument(
            flag, dest="set", action="append", default=[], type=pair, metavar=metavar, help=what
        )

    @property
    def groups(self) -> dict[str, argparse._ArgumentGroup]:
        """The four groups by name."""
        return {"what": self.what, "where": self.where, "how": self.how, "output": self.output}

    def format_usage(self) -> str:
        """One line: the positional and the required arguments; --help has the rest."""
        self._shorten_usage()
        return super().format_usage()

    def format_help(self) -> str:
        """The whole help under the short usage."""
        self._shorten_usage()
        return super().format_help()

    def _shorten_usage(self) -> None:
        words = [
            f"{action.option_strings[0]} {action.metavar or action.dest.upper()}"
            if action.option_strings
            else (f"[{action.metavar} ...]" if action.nargs == "*" else str(action.metavar))
            for action in self._actions
            if action.required or not action.option_strings
        ]
        self.usage = " ".join([self.prog, *words, "[flags]"])


def at_least(lowest: int) -> Callable[[str], int]:
    """The type of a flag that takes a whole number from `lowest` on."""

    def number(text: str) -> int:
        if not text.lstrip("-").isdigit() or int(text) < lowest:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {lowest}")
        return int(text)

    return number


def one_of(words: Iterable[str]) -> Callable[[str], str]:
    """The type of a flag that takes one of `words`."""
    known = tuple(words)

    def word(text: str) -> str:
        if text not in known:
            raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(known)}")
        return text

    return word


def choices_of(args: argparse.Namespace, *, dataset: str = Choices.dataset) -> Choices:
    """What the shared flags say. Without --dataset, --root means the dataset `folder`; without both, `dataset`."""
    said = {name: getattr(args, name, "") for name in SHARED if name != "task"}
    meant = said["dataset"] or ("folder" if said["root"] else dataset)
    return Choices(
        dataset=meant,
        encoder=getattr(args, "encoder", Choices.encoder),
        head=said["head"] or Choices.head,
        search=said["search"] or Choices.search,
        root=said["root"],
        store=said["store"],
        tracking=said["tracking"],
        set=tuple(args.set),
    )


def _add_general(group: argparse._ArgumentGroup) -> None:
    group.add_argument("-h", "--help", action="help", help="show this help and exit")
    group.add_argument("--version", action="version", version=f"tilebank {__version__}", help="show the version")
    group.add_argument("-v", "--verbose", action="count", default=0, help="log what is done; -vv: libraries too")
    group.add_argument("-q", "--quiet", action="store_true", help="log errors only, draw no progress bars")
    group.add_argument("--no-progress", action="store_true", help="draw no progress bars")
    group.add_argument(
        "--print-settings", action="store_true", help="print the whole configuration as YAML, and do nothing else"
    )


def _names(kind: str) -> str:
    try:
        return ", ".join(known_names(kind))
    except ConfigError:
        return f"a file in conf/{kind}"  # --help answers all the same; the run will say what is wrong
