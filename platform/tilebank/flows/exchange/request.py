"""What may be asked of an exchange: import or export, the layouts of each, and what they need."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tilebank.store.exchange.layout_files import LAYOUT_FILES as IMPORTS
from tilebank.terms import Split

__all__ = ["ACTIONS", "EXPORTS", "IMPORTS", "SPLITS", "Request"]

ACTIONS = ("import", "export")
SPLITS = tuple(split.value for split in Split)
EXPORTS: Mapping[str, str] = {
    "clam": "h5_files/<bag>.h5, labels.csv and splits_0.csv; tiles alone",
    "trident": "features_<encoder>/<bag>.h5 and labels.csv; tiles alone",
    "parquet": "data/<split>-<number>.parquet, a row an instance",
    "hf": "the same with the README.md of a Hugging Face dataset",
}


@dataclass(frozen=True)
class Request:
    """What is asked for: an action of ACTIONS, a source of IMPORTS or a target of EXPORTS, and what they need."""

    action: str
    source: str | None = None
    plan: bool = False
    target: str | None = None
    task: str = ""
    split: str = "train"
    out: Path | None = None
    licence_allows: bool = False
