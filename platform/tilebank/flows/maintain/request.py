"""What may be asked of a store: the actions, and what they need."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

ACTIONS: Mapping[str, str] = {
    "list": "every table: rows, bytes, versions, fingerprints, licence, who writes it",
    "verify": "read the whole table of --dataset and --encoder, and report what is wrong",
    "compact": "put many small fragments into few",
    "index": "rebuild the indices",
    "drop": "delete all vectors and failures under --fingerprint",
    "clean": "remove old versions, files that no version names, and what unfinished searches have left",
}


@dataclass(frozen=True)
class Request:
    """What is asked for: an action of ACTIONS, and what it needs. plan: look only; yes: nobody has to be asked."""

    action: str
    fingerprint: str = ""
    older_than: timedelta | None = None
    plan: bool = False
    yes: bool = False
