"""The result of one check, and the way checks are run: with a deadline, and without a secret in what is shown."""

import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal

from tilebank.errors import TilebankError
from tilebank.flows.reporting.run_facts import mask_passwords

State = Literal["PASS", "WARN", "FAIL"]
SECRETS = (
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "HF_TOKEN", "TILEBANK_ID_KEY"),
    *("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"),
)
DEADLINE_S = 30.0
MEND = "mend what the message names"


@dataclass(frozen=True)
class Check:
    """One finding. fix: what to do where the state is not PASS."""

    name: str
    state: State
    found: str
    fix: str = ""


def passed(name: str, found: str) -> Check:
    """All is well."""
    return Check(name, "PASS", found)


def warned(name: str, found: str, *, fix: str) -> Check:
    """Jobs run, but not all of them, or not as tested."""
    return Check(name, "WARN", found, fix)


def failed(name: str, found: str, *, fix: str) -> Check:
    """Jobs with these settings cannot work."""
    return Check(name, "FAIL", found, fix)


def run_check(name: str, check: Callable[[], Iterable[Check]], *, deadline_s: float = DEADLINE_S) -> list[Check]:
    """The findings of `check`, in a thread of its own; one that raises, or has no answer in time, is a FAIL."""
    findings: list[Check] = []

    def work() -> None:
        try:
            findings.extend(check())
        except TilebankError as error:  # its message ends with what to do
            found, _, fix = str(error).partition("; ")
            findings.append(failed(name, found, fix=fix or MEND))
        except Exception as error:  # noqa: BLE001 - whatever breaks a check is what the user has to know
            findings.append(failed(name, f"{type(error).__name__}: {error}", fix=MEND))

    thread = threading.Thread(target=work, name=f"doctor: {name}", daemon=True)
    thread.start()
    thread.join(deadline_s)
    if thread.is_alive():
        findings = [failed(name, f"no answer within {deadline_s:g} s", fix="check the network, and the address")]
    return [replace(each, found=without_secrets(each.found), fix=without_secrets(each.fix)) for each in findings]


def without_secrets(text: str) -> str:
    """`text` on one line, without passwords in URIs and without the values of variables that hold secrets."""
    for name in SECRETS:
        if value := os.environ.get(name):
            text = text.replace(value, f"({name})")
    return mask_passwords(" ".join(text.split()))
