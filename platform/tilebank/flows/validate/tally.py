"""Count files by outcome, by what they are, and by the reason why they are not accepted."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from tilebank.flows.validate.rows import FileRow, Outcome

EXAMPLES = 3  # files named for a reason
LONGEST = 12  # lines of a breakdown; what is rarer becomes one line
UNREAD = "header not read"
UNSTATED = "not stated"


@dataclass(frozen=True)
class Line:
    """Files that share a value, by outcome."""

    value: str
    accept: int
    filter: int
    refuse: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.accept + self.filter + self.refuse


@dataclass(frozen=True)
class Breakdown:
    """All files by one thing that is known of them, the most frequent value first."""

    title: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Cause:
    """Why files are filtered, refused, or warned of: the first of the reasons given and some of the files.

    wordings: how many different reasons the files have; above 1 they differ in a number or a name.
    """

    outcome: str
    stage: str
    error_class: str
    reason: str
    wordings: int
    count: int
    examples: tuple[str, ...]


@dataclass(frozen=True)
class ValidationReport:
    """What becomes of a dataset's files. `causes` and `warnings`: the most frequent first."""

    all: Line
    breakdowns: tuple[Breakdown, ...]
    causes: tuple[Cause, ...]
    warnings: tuple[Cause, ...]

    def as_dict(self) -> dict[str, object]:
        """Counts as JSON values; no file is named."""
        return {
            **{name.value: getattr(self.all, name.value) for name in Outcome},
            "files": self.all.total,
            "causes": {f"{cause.stage}/{cause.error_class}": cause.count for cause in self.causes},
            "warnings": {cause.reason: cause.count for cause in self.warnings},
            "by": {by.title: {line.value: line.total for line in by.lines} for by in self.breakdowns},
        }


def summarise(rows: Sequence[FileRow]) -> ValidationReport:
    """The figures of a report. The same rows in any order give the same figures."""
    rows = sorted(rows, key=lambda row: row.uri)
    return ValidationReport(
        all=_line("all files", Counter(row.outcome for row in rows)),
        breakdowns=tuple(_break_down(title, rows, key) for title, key in BREAKDOWNS.items()),
        causes=_causes(rows),
        warnings=_warnings(rows),
    )


def _known(name: str) -> Callable[[FileRow], str]:
    def value(row: FileRow) -> str:
        if not _was_read(row) and not getattr(row, name):
            return UNREAD
        return str(getattr(row, name) or UNSTATED)

    return value


def _bits(row: FileRow) -> str:
    return f"{row.bits_stored} bit" if row.bits_stored else _known("bits_stored")(row)


def _size(row: FileRow) -> str:
    return f"{row.rows} × {row.columns}" if row.rows else _known("rows")(row)


def _special(row: FileRow) -> str:
    return ", ".join(row.special) or ("none" if _was_read(row) else UNREAD)


def _was_read(row: FileRow) -> bool:
    return bool(row.sop_class or row.transfer_syntax)


BREAKDOWNS: Mapping[str, Callable[[FileRow], str]] = {
    "Object class": _known("sop_class"),
    "Kind of image": _known("image_kind"),
    "Transfer syntax": _known("transfer_syntax"),
    "Vendor": _known("manufacturer"),
    "Intensity": _known("intensity"),
    "View": _known("view"),
    "Side": _known("laterality"),
    "Special views": _special,
    "Side taken from": _known("laterality_from"),
    "View taken from": _known("view_from"),
    "Bits stored": _bits,
    "Rows × columns": _size,
}


def _line(value: str, counts: Mapping[Outcome, int]) -> Line:
    return Line(value, *(counts.get(outcome, 0) for outcome in Outcome))


def _break_down(title: str, rows: Iterable[FileRow], key: Callable[[FileRow], str]) -> Breakdown:
    counts: dict[str, Counter[Outcome]] = defaultdict(Counter)
    for row in rows:
        counts[key(row)][row.outcome] += 1
    order = sorted(counts, key=lambda value: (-counts[value].total(), value))
    kept = order if len(order) <= LONGEST else order[: LONGEST - 1]
    lines = [_line(value, counts[value]) for value in kept]
    if rest := order[len(kept) :]:
        together = sum((counts[value] for value in rest), Counter[Outcome]())
        lines.append(_line(f"{len(rest)} others", together))
    return Breakdown(title, tuple(lines))


def _causes(rows: Iterable[FileRow]) -> tuple[Cause, ...]:
    by_class: dict[tuple[str, str, str], list[FileRow]] = defaultdict(list)
    for row in rows:
        if row.outcome is not Outcome.ACCEPT:
            by_class[row.outcome.value, row.stage, row.error_class].append(row)
    causes = [
        Cause(*key, members[0].reason, len({row.reason for row in members}), len(members), _examples(members))
        for key, members in by_class.items()
    ]
    return tuple(sorted(causes, key=lambda cause: (-cause.count, cause.outcome, cause.stage, cause.error_class)))


def _warnings(rows: Iterable[FileRow]) -> tuple[Cause, ...]:
    by_text: dict[str, list[FileRow]] = defaultdict(list)
    for row in rows:
        for text in dict.fromkeys(row.warnings):
            by_text[text].append(row)
    causes = [Cause("", "", "", text, 1, len(members), _examples(members)) for text, members in by_text.items()]
    return tuple(sorted(causes, key=lambda cause: (-cause.count, cause.reason)))


def _examples(rows: Sequence[FileRow]) -> tuple[str, ...]:
    return tuple(row.uri for row in rows[:EXAMPLES])
