"""Write a checkpoint of random weights in an encoder's architecture, for timing without a download."""

from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file

from tilebank.encoders.contract import EncoderConfig
from tilebank.encoders.huggingface.encoder import PROJECTION_FILE
from tilebank.encoders.huggingface.model_families import build_network


def write_random_weights(config: EncoderConfig, folder: Path, *, seed: int = 0) -> EncoderConfig:
    """Write a random checkpoint to `folder`; return settings that use it. Raises EncoderError without architecture."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        tower = build_network(config).to(getattr(torch, config.dtype))
        tower.save_pretrained(folder)
        if config.output == "projected":
            own = getattr(tower.config, "hidden_dim", None) or tower.config.hidden_size
            projection = {"weight": torch.randn(config.dim, own) / own**0.5, "bias": torch.zeros(config.dim)}
            save_file(projection, folder / PROJECTION_FILE)
    return replace(config, checkpoint=str(folder), revision=None, source=None)
