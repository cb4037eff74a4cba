"""Convert a checkpoint that was published as a pickle into a folder that transformers loads.

It writes config.json and model.safetensors of the network, projection.safetensors of the owner's last linear layer, and
source.json with the origin. Weights are renamed, and fused query-key-value weights are split; no number changes.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from tilebank.encoders.contract import EncoderConfig
from tilebank.encoders.conversion.pickled_checkpoint import read_tensors
from tilebank.encoders.conversion.weight_names import PUBLISHED, Published, rename
from tilebank.encoders.huggingface.checkpoints import source_of
from tilebank.encoders.huggingface.encoder import PROJECTION_FILE
from tilebank.encoders.huggingface.model_families import build_network
from tilebank.errors import EncoderError


@dataclass(frozen=True)
class Converted:
    """The folder to set as `encoder.checkpoint`. projection_dim: 0 if the file had no projection."""

    encoder: str
    folder: str
    tensors: int
    projection_dim: int

    def as_dict(self) -> dict[str, object]:
        """JSON values."""
        return asdict(self)

    def as_text(self) -> str:
        """A few lines, the last one what to do next."""
        projection = f" and a projection to {self.projection_dim}" if self.projection_dim else ""
        return (
            f"{self.encoder}: {self.tensors} tensors{projection} in {self.folder}\n"
            f"use it: --encoder {self.encoder} --set encoder.checkpoint={self.folder}"
        )


def convert_checkpoint(config: EncoderConfig, *, published: Path, folder: Path) -> Converted:
    """Write the weights in the pickled file `published` to `folder`, in the shape of `config.architecture`.

    Raises EncoderError where the encoder needs no conversion, the file does not hold the weights of that architecture,
    or `folder` holds something already.
    """
    hub_id, path = source_of(config)
    kind = PUBLISHED.get(str((config.architecture or {}).get("model_type")))
    if kind is None:
        raise EncoderError(f"encoder {config.name}: architecture.model_type must be one of {sorted(PUBLISHED)}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise EncoderError(f"{folder} exists and is not empty; give a new or empty folder")
    state = read_tensors(published, under=kind.under)
    renamed = rename(state, kind)
    tower = _filled_tower(config, renamed, published=published)
    folder.mkdir(parents=True, exist_ok=True)
    tower.save_pretrained(folder)
    _forget_version(folder / "config.json")
    projection = _projection(state, kind)
    if projection:
        save_file(projection, folder / PROJECTION_FILE)
    with published.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    made_from = {"hub_id": hub_id, "path": path, "revision": config.revision, "sha256": digest}
    (folder / "source.json").write_text(json.dumps(made_from, indent=2) + "\n", encoding="utf-8")
    return Converted(config.name, str(folder), len(renamed), len(projection["weight"]) if projection else 0)


def _filled_tower(config: EncoderConfig, weights: dict[str, Tensor], *, published: Path) -> Any:
    with torch.device("meta"):
        tower = build_network(config)
    wanted = {name: tuple(tensor.shape) for name, tensor in tower.state_dict().items()}
    given = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    odd = sorted(name for name in {*wanted, *given} if wanted.get(name) != given.get(name))
    if odd:
        raise EncoderError(
            f"encoder {config.name}: {published.name} differs from its architecture in {len(odd)} weights, the first"
            f" {odd[0]}: {given.get(odd[0])} in the file, {wanted.get(odd[0])} wanted; is it the file of this encoder?"
        )
    tower.load_state_dict(weights, strict=True, assign=True)
    return tower


def _projection(state: dict[str, Tensor], kind: Published) -> dict[str, Tensor]:
    """Weight and bias of a linear projection; empty where the file has another kind or none."""
    weight = state.get(f"{kind.projection}.weight")
    if weight is None:
        return {}
    bias = state.get(f"{kind.projection}.bias", torch.zeros(len(weight)))
    return {"weight": weight.to(torch.float32).contiguous(), "bias": bias.to(torch.float32).contiguous()}


def _forget_version(path: Path) -> None:
    """Remove the library's version, which would change the folder's hash, and the fingerprint, for the same weights."""
    settings = json.loads(path.read_text(encoding="utf-8"))
    settings.pop("transformers_version", None)
    path.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")
