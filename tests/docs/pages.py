"""README and docs as tests read them: code blocks with their marks, commands, prose."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import CHECKOUT

PAGES = [CHECKOUT / "README.md", CHECKOUT / "CONTRIBUTING.md", *sorted((CHECKOUT / "docs").glob("*.md"))]
FENCE = re.compile(r"(?P<mark><!--[^>]*-->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
PARSE_ONLY = "<!-- parse:"  # in front of a block: its commands cannot run on the demo, for the reason given


@dataclass(frozen=True)
class Block:
    """A fenced block, and the comment in front of it: invisible to readers, it says what tests do with the block."""

    page: Path
    language: str
    text: str
    mark: str

    @property
    def run(self) -> bool:
        """Whether its commands are run, not only parsed."""
        return not self.mark.startswith(PARSE_ONLY)


@dataclass(frozen=True)
class Command:
    """`tilebank NAME flags`, or the job that a cluster runs, as it is written on a page."""

    page: Path
    job: str  # the name of the command, or of the file in jobs/
    is_file: bool
    flags: tuple[str, ...]
    run: bool = False

    def __str__(self) -> str:
        return f"{self.page.name}: {'jobs/' if self.is_file else ''}{self.job} {' '.join(self.flags)}"


def blocks_of(page: Path, *languages: str) -> list[Block]:
    """The fenced blocks of these languages, in order."""
    found = FENCE.finditer(page.read_text(encoding="utf-8"))
    return [
        Block(page, one["language"], one["text"], mark=(one["mark"] or "").strip())
        for one in found
        if one["language"] in languages
    ]


def commands_of(page: Path) -> list[Command]:
    """The commands in a page's bash blocks, in order."""
    lines = [(line, block.run) for block in blocks_of(page, "bash") for line in _lines(block.text)]
    return [command for line, run in lines if (command := _command(page, line, run=run))]


def commands_in_text_of(page: Path) -> list[Command]:
    """The whole commands in a page's running text: `tilebank NAME flags` in backticks."""
    found = re.findall(r"`(tilebank [^`]*)`", FENCE.sub("", page.read_text(encoding="utf-8")))
    whole = [" ".join(text.split()) for text in found if "..." not in text and " NAME" not in text]
    return [command for line in whole if (command := _command(page, line, run=False))]


def prose_of(page: Path) -> Iterator[str]:
    """The sentences of a page: no code blocks, no tables, no headings; code and links count as the words they show."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    lines = [line.strip() for line in text.splitlines()]
    kept = ["" if line.startswith(("|", "#", "!", "---")) else line for line in lines]
    kept = [f"\n{line.lstrip('-*0123456789. ')}" if re.match(r"([-*]|\d+\.) ", line) else line for line in kept]
    for paragraph in re.split(r"\n\s*\n|\n(?=\n)", "\n".join(kept)):
        plain = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", " ".join(paragraph.split()))
        yield from (sentence for sentence in re.split(r"(?<=[.!?:;])\s+(?=[A-Z`*])", plain) if sentence)


def _lines(text: str) -> list[str]:
    return text.replace("\\\n", " ").splitlines()


def _command(page: Path, line: str, *, run: bool) -> Command | None:
    words = shlex.split(line, comments=True)
    if words[:3] == ["ray", "job", "submit"]:
        words = words[words.index("--") + 1 :]
    if words[:1] == ["tilebank"] and len(words) > 1 and not words[1].startswith("-"):
        return Command(page, words[1], False, tuple(words[2:]), run)
    if words[:1] == ["python"] and words[1].startswith("jobs/"):
        return Command(page, words[1].removeprefix("jobs/").removesuffix(".py"), True, tuple(words[2:]), run)
    return None
