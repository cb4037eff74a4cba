"""Settings of every kind of encoder at a size for tests: random checkpoints of the real classes, made on the spot."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.encoders.rows import ROWS, small_row

from tilebank.encoders.contract import Encoder, EncoderConfig, PreprocessSpec
from tilebank.encoders.registry import load_encoder

IMAGENET = PreprocessSpec(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), channels=3)
HALF = PreprocessSpec(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), channels=3)
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": 56, "patch_size": 14}


def texture_config() -> EncoderConfig:
    unit = PreprocessSpec(mean=(0.0,), std=(1.0,), channels=1)
    return EncoderConfig(
        "texture",
        "texture",
        256,
        110,
        "statistics",
        unit,
        l2_normalise=True,
        dtype="float32",
        batch_size=4,
        licence="own",
    )


def tower_config(folder: Path, output: str, spec: PreprocessSpec, *, dim: int = 32) -> EncoderConfig:
    return EncoderConfig(
        name=folder.name,
        loader="huggingface",
        input_size_px=56,
        dim=dim,
        output=output,
        preprocess=spec,
        l2_normalise=True,
        dtype="float32",
        batch_size=4,
        licence="own",
        checkpoint=str(folder),
    )


def save_dinov2(folder: Path) -> EncoderConfig:
    from transformers import Dinov2Config, Dinov2Model

    Dinov2Model(Dinov2Config(**SIZES)).save_pretrained(folder)
    return tower_config(folder, "cls", IMAGENET)


def save_dinov2_registers(folder: Path) -> EncoderConfig:
    from transformers import Dinov2WithRegistersConfig, Dinov2WithRegistersModel

    Dinov2WithRegistersModel(Dinov2WithRegistersConfig(**SIZES, num_register_tokens=4)).save_pretrained(folder)
    return tower_config(folder, "cls_patch_mean", IMAGENET, dim=64)


def save_siglip_tower(folder: Path) -> EncoderConfig:
    from transformers import SiglipVisionConfig, SiglipVisionModel

    SiglipVisionModel(SiglipVisionConfig(**SIZES, intermediate_size=64)).save_pretrained(folder)
    return tower_config(folder, "patch_mean", HALF)


def save_siglip(folder: Path) -> EncoderConfig:
    from transformers import SiglipConfig, SiglipModel

    text = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 64}
    text |= {"vocab_size": 100, "max_position_embeddings": 16, "bos_token_id": 1, "eos_token_id": 2}
    SiglipModel(SiglipConfig(vision_config=SIZES | {"intermediate_size": 64}, text_config=text)).save_pretrained(folder)
    return tower_config(folder, "map", HALF)


SAVERS: dict[str, Callable[[Path], EncoderConfig]] = {
    "tiny-dinov2": save_dinov2,
    "tiny-dinov2-registers": save_dinov2_registers,
    "tiny-siglip-tower": save_siglip_tower,
    "tiny-siglip": save_siglip,
}


@pytest.fixture(autouse=True, scope="session")
def offline() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield


@pytest.fixture(scope="session")
def configs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, EncoderConfig]:
    """One EncoderConfig a kind of checkpoint in transformers, and the filter bank."""
    made = {"texture": texture_config()}
    for seed, (name, save) in enumerate(SAVERS.items()):
        torch.manual_seed(seed)
        folder = tmp_path_factory.mktemp("checkpoints") / name
        made[name] = save(folder)
    return made


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rows")


@pytest.fixture(params=ROWS, scope="module")
def config(request: pytest.FixtureRequest, checkpoints: Path) -> EncoderConfig:
    """Every file of conf/encoders, at a size for tests."""
    return small_row(request.param, checkpoints)


@pytest.fixture(scope="module")
def encoder(config: EncoderConfig) -> Encoder:
    return load_encoder(config, device="cpu")


def _tissue(count: int, size_px: int, *, seed: int) -> NDArray[np.float32]:
    """Gray fields (count, S, S) between 0 and 1: 1/f^3 noise with 1.2 % white noise on it, cut from larger fields."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(2 * size_px)[:, None], np.fft.rfftfreq(2 * size_px)[None, :])
    frequency[0, 0] = np.inf
    fields = []
    for _ in range((count + 3) // 4):
        noise = np.fft.rfft2(rng.standard_normal((2 * size_px, 2 * size_px))) * frequency**-1.5
        field = np.fft.irfft2(noise, s=(2 * size_px, 2 * size_px))
        quarters = field.reshape(2, size_px, 2, size_px).swapaxes(1, 2).reshape(4, size_px, size_px)
        fields.append((quarters - quarters.mean((1, 2), keepdims=True)) / quarters.std((1, 2), keepdims=True))
    gray = 0.45 + 0.08 * np.concatenate(fields)[:count]
    return np.clip(gray + 0.012 * rng.standard_normal(gray.shape), 0.02, 1).astype(np.float32)


@pytest.fixture(scope="session")
def tissue() -> Callable[..., NDArray[np.float32]]:
    """Makes gray fields as mammographic tissue: `tissue(count, size_px, seed=...)`."""
    return _tissue
