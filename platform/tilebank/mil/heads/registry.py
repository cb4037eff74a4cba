"""The table of heads: build a pack, score bags, save and load heads.

On disk a head is two files: `head.safetensors` (weights) and `head.json` (settings, dimension, format version, and the
caller's metadata). No pickle: loading a head runs no code from the files.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from tilebank.errors import HeadError
from tilebank.mil.bags.bags import BagBatch, chunk_bags
from tilebank.mil.contract.head import Head, HeadConfig
from tilebank.mil.contract.outputs import BINARY, Outputs, probabilities
from tilebank.mil.heads.abmil import Abmil, AbmilConfig
from tilebank.mil.heads.asmil import Asmil, AsmilConfig
from tilebank.mil.heads.clam_sb import ClamSb, ClamSbConfig
from tilebank.mil.heads.dsmil import Dsmil, DsmilConfig
from tilebank.mil.heads.dtfd import Dtfd, DtfdConfig
from tilebank.mil.heads.dual_stream import DualStream, DualStreamConfig
from tilebank.mil.heads.ilra import Ilra, IlraConfig
from tilebank.mil.heads.max import MaxConfig, MaxHead
from tilebank.mil.heads.mean import MeanConfig, MeanHead
from tilebank.mil.heads.set_transformer import SetTransformer, SetTransformerConfig
from tilebank.mil.heads.transmil import Transmil, TransmilConfig

__all__ = ["HEADS", "Head", "HeadConfig", "HeadKind", "SavedHead", "build_head", "load_head", "save_head", "score_bags"]

_S = TypeVar("_S")
_FORMAT = 1
_ROWS = 16_384  # vectors scored at a time: limits the memory of their float32 copies
_WEIGHTS, _CARD = "head.safetensors", "head.json"


@dataclass(frozen=True)
class HeadKind:
    """A row of the table: the settings class of a head, and the class of its packs."""

    config: type[HeadConfig]
    build: Callable[..., Head]  # (settings, dim=, seeds=, outputs=)


HEADS: dict[str, HeadKind] = {
    "abmil": HeadKind(AbmilConfig, Abmil),
    "asmil": HeadKind(AsmilConfig, Asmil),
    "clam_sb": HeadKind(ClamSbConfig, ClamSb),
    "dsmil": HeadKind(DsmilConfig, Dsmil),
    "dtfd": HeadKind(DtfdConfig, Dtfd),
    "dual_stream": HeadKind(DualStreamConfig, DualStream),
    "ilra": HeadKind(IlraConfig, Ilra),
    "max": HeadKind(MaxConfig, MaxHead),
    "mean": HeadKind(MeanConfig, MeanHead),
    "set_transformer": HeadKind(SetTransformerConfig, SetTransformer),
    "transmil": HeadKind(TransmilConfig, Transmil),
}


@dataclass(frozen=True, eq=False)
class SavedHead:
    """A head from disk and its metadata (encoder, fingerprint, task, threshold, ...)."""

    head: Head
    metadata: dict[str, str]


def build_head(config: HeadConfig, *, dim: int, seeds: Sequence[int], outputs: Outputs = BINARY) -> Head:
    """A pack of new heads, one per seed, for vectors of `dim` numbers. Raises HeadError for an unknown name."""
    kind = _kind_named(config.name)
    if not isinstance(config, kind.config):
        raise HeadError(
            f"head {config.name}: its settings must be a {kind.config.__name__}, not {type(config).__name__}"
        )
    if dim < 1 or not seeds:
        raise HeadError(f"head {config.name}: dim is {dim} with {len(seeds)} seeds; pass at least one of each")
    return kind.build(config, dim=dim, seeds=seeds, outputs=outputs)


def score_bags(head: Head, bags: BagBatch) -> NDArray[np.float64]:
    """Probabilities (T, B) or (T, B, C) of the breasts of `bags`, which must be on the device of `head`."""
    with torch.inference_mode():
        logits = [head(bags.between(start, stop)) for start, stop in chunk_bags(bags.bag_sizes, max_rows=_ROWS)]
        scores: NDArray[np.float64] = probabilities(torch.cat(logits, dim=1), head.outputs).cpu().numpy()
    return scores


def save_head(head: Head, folder: Path, *, metadata: Mapping[str, str] | None = None) -> None:
    """Write `head` (or a pack) to `folder`, which is created; existing files are replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.detach().cpu().contiguous() for name, value in head.state_dict().items()}
    save_file(weights, folder / _WEIGHTS)
    card = {
        "format": _FORMAT,
        "config": asdict(head.config),
        "outputs": asdict(head.outputs),
        "dim": head.dim,
        "trials": head.trials,
        "metadata": dict(metadata or {}),
    }
    (folder / _CARD).write_text(json.dumps(card, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def load_head(folder: Path) -> SavedHead:
    """The head that `save_head` wrote, on the CPU. Raises HeadError for a missing, unknown or mismatched file."""
    card = _read_card(folder / _CARD)
    try:
        weights: dict[str, Tensor] = load_file(folder / _WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise HeadError(f"cannot read weights from {folder / _WEIGHTS}: {error}; save the head again") from error
    try:
        outputs = Outputs(**card.get("outputs", {}))  # older files lack it: binary
        config = _config_of(_kind_named(card["config"]["name"]).config, card["config"])
        head = build_head(config, dim=card["dim"], seeds=[0] * card["trials"], outputs=outputs)
        head.load_state_dict(weights)
        metadata = {str(key): str(value) for key, value in card["metadata"].items()}
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise HeadError(f"{folder / _CARD} does not fit the weights beside it: {error}; save the head again") from error
    return SavedHead(head, metadata)


def _kind_named(name: object) -> HeadKind:
    if name not in HEADS:
        raise HeadError(f"no head named {name!r}; choose one of {', '.join(sorted(HEADS))}")
    return HEADS[str(name)]


def _config_of(kind: type[_S], values: Mapping[str, Any]) -> _S:
    """Settings from `head.json`; those that an older version lacks take their defaults."""
    known = get_type_hints(kind)
    if unknown := sorted(set(values) - set(known)):
        raise HeadError(f"{kind.__name__} has no settings {unknown}, it knows {sorted(known)}; save the head again")
    parts = {
        name: _config_of(next(part for part in get_args(known[name]) if part is not type(None)), value)
        for name, value in values.items()
        if isinstance(value, Mapping)
    }
    return kind(**dict(values) | parts)


def _read_card(path: Path) -> dict[str, Any]:
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise HeadError(f"cannot read {path}: {error}; pass a folder written by save_head") from error
    if not isinstance(card, dict) or card.get("format") != _FORMAT:
        raise HeadError(f"{path} is not format {_FORMAT} of a Tilebank head; save the head with this version")
    return card
