"""The files of conf/encoders, and each of them at a size for tests: the same class and options, a random checkpoint."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import yaml
from tests.encoders.published_networks import random_efficientnet, random_vit

from tilebank.encoders.contract import EncoderConfig, PreprocessSpec
from tilebank.encoders.conversion.convert import convert_checkpoint
from tilebank.encoders.huggingface.model_families import build_network

CONF = Path(__file__).parents[2] / "conf" / "encoders"
ROWS = sorted(path.stem for path in CONF.glob("*.yaml"))
PROJECTION = 24
SMALL: Mapping[str, Mapping[str, Any]] = {
    "transformer": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4},
    "efficientnet": {"width_coefficient": 0.5, "depth_coefficient": 0.1, "hidden_dim": 640},
}
# One block a stage, and 72 px become 36, 36, 18, 9, 5, 5, 3: blocks 3 and 5 halve an odd size, and are padded evenly.
SMALL_NOMINAL_PX = 72
SMALL_PADDING = [3, 5]


def read_row(name: str) -> EncoderConfig:
    """The settings in conf/encoders/<name>.yaml, exactly."""
    settings = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    spec = settings.pop("preprocess")
    preprocess = PreprocessSpec(tuple(spec.pop("mean")), tuple(spec.pop("std")), **spec)
    return EncoderConfig(preprocess=preprocess, **settings)


def shrunk(row: EncoderConfig) -> EncoderConfig:
    """The row with a small network of the same class and options, without a checkpoint yet."""
    shape = dict(row.architecture or {})
    if not shape:
        return replace(row, batch_size=4)
    if shape["model_type"] == "efficientnet":
        shape |= SMALL["efficientnet"] | {"depthwise_padding": SMALL_PADDING, "image_size": SMALL_NOMINAL_PX}
        size, dim = 64, 640
    else:
        size, dim = 4 * shape["patch_size"], 32
        shape |= SMALL["transformer"]
        if "intermediate_size" in shape:
            shape["intermediate_size"] = 64
        if shape["model_type"] != "dinov3_vit":
            shape["image_size"] = size
    dim = PROJECTION if row.output == "projected" else dim
    return replace(row, architecture=shape, input_size_px=size, dim=dim, batch_size=4, dtype="float32")


def small_row(name: str, folder: Path) -> EncoderConfig:
    """The row with a random checkpoint below `folder`, as it is published: converted where that is a pickle."""
    row = shrunk(read_row(name))
    if row.architecture is None:
        return row
    torch.manual_seed(ROWS.index(name))
    folder.mkdir(exist_ok=True)
    place = folder / name
    if row.source:
        file = folder / f"{name}.pickle"
        torch.save(published_of(row), file)
        convert_checkpoint(row, published=file, folder=place)
    elif row.architecture["model_type"] == "siglip_vision_model":
        save_whole_siglip(row.architecture, place)
    else:
        build_network(row).save_pretrained(place)
    return replace(row, checkpoint=str(place), revision=None)


def published_of(row: EncoderConfig) -> dict[str, Any]:
    """What the owner of a pickle put into it: weights under the owner's names, for a small network."""
    shape = row.architecture or {}
    if shape["model_type"] == "vit":
        return dict(
            random_vit(
                width=shape["hidden_size"],
                layers=shape["num_hidden_layers"],
                hidden=shape["intermediate_size"],
                patch=shape["patch_size"],
                size_px=shape["image_size"],
                projection=PROJECTION,
                seed=1,
            )
        )
    width, depth = shape["width_coefficient"], shape["depth_coefficient"]
    weights = random_efficientnet(width=width, depth=depth, projection=PROJECTION, seed=2)
    return {"model": weights, "epoch": 7, "config": {"image_encoder": {"source": "cnn"}}}


def save_whole_siglip(vision: Mapping[str, Any], folder: Path) -> None:
    """A full SigLIP, text tower included, as the owners publish it."""
    from transformers import SiglipConfig, SiglipModel

    text = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 64}
    text |= {"vocab_size": 100, "max_position_embeddings": 16, "bos_token_id": 1, "eos_token_id": 2}
    tower = {key: value for key, value in vision.items() if key != "model_type"}
    SiglipModel(SiglipConfig(vision_config=tower, text_config=text)).save_pretrained(folder)
