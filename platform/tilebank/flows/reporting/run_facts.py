"""What a report says of the run that made it: when, by which command, with which versions. Secrets are masked."""

import re
import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tilebank.flows.reporting.commands import COMMANDS, command_name

MASK = "***"
PACKAGES = ("torch", "ray", "pylance", "mlflow", "numpy")
PASSWORD = re.compile(r"(?<=://)[^/@\s]*@")  # of an address, user and all
SECRET_NAME = r"[\w.-]*(?:secret|token|password|passwd|credential|api[_-]?key|access[_-]?key|signature|id_key)[\w.-]*"
ASSIGNED = re.compile(rf"(?i)({SECRET_NAME}\s*[=:]\s*)([^\s&;]+)")
NAMED = re.compile(rf"(?i)--?{SECRET_NAME}")


def mask_passwords(text: str) -> str:
    """`text` without users and passwords in addresses."""
    return PASSWORD.sub(f"{MASK}@", text)


def mask_secrets(text: str) -> str:
    """`text` without passwords and keys: users in addresses, and values of what is called token, secret, key, ..."""
    return ASSIGNED.sub(rf"\1{MASK}", mask_passwords(text))


def command_line(words: Sequence[str] | None = None) -> str:
    """The command that started this process, as it can be shown to anybody; `words`: in place of sys.argv."""
    program, *rest = sys.argv if words is None else words
    name = command_name(program)
    shown = ["tilebank", name] if name in COMMANDS else [Path(program).name]
    hidden = False
    for word in rest:
        shown.append(MASK if hidden else mask_secrets(word))
        hidden = bool(NAMED.fullmatch(word))  # the value is the next word
    return shlex.join(shown).replace(f"'{MASK}'", MASK)


def run_facts(code: str) -> dict[str, str]:
    """Names and values for a report: date, command, versions. code: the revision of our own code."""
    versions = [f"Python {sys.version.split()[0]}", *(f"{name} {_version(name)}" for name in PACKAGES)]
    return {
        "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "command": command_line(),
        "versions": f"tilebank {code}; {', '.join(versions)}",
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
