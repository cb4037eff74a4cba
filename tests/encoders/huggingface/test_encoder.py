"""Towers of transformers: the vector is what the library's own class gives, and what does not fit is refused."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.encoders.rows import ROWS, small_row

from tilebank.encoders.contract import EncoderConfig
from tilebank.encoders.registry import identity_of, load_encoder
from tilebank.errors import EncoderError

COMMIT = "ed25f3a31f01632728cabb09d1542f84ab7b0056"


@pytest.fixture
def pixels() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (3, 56, 56), dtype=np.uint8)


def values_by_hand(pixels: NDArray[np.uint8], config: EncoderConfig) -> torch.Tensor:
    mean = torch.tensor(config.preprocess.mean)[:, None, None]
    std = torch.tensor(config.preprocess.std)[:, None, None]
    return (torch.from_numpy(pixels).float()[:, None].expand(-1, 3, -1, -1) / 255 - mean) / std


def unit_rows(vectors: torch.Tensor) -> NDArray[np.float32]:
    return torch.nn.functional.normalize(vectors.float(), dim=1).detach().numpy()


def test_class_token_is_the_one_of_dinov2(configs: dict[str, EncoderConfig], pixels: NDArray[np.uint8]) -> None:
    from transformers import Dinov2Model

    config = configs["tiny-dinov2"]
    by_hand = Dinov2Model.from_pretrained(config.checkpoint).eval()(values_by_hand(pixels, config)).pooler_output
    np.testing.assert_allclose(load_encoder(config).encode(pixels, max_value=255.0), unit_rows(by_hand), atol=5e-4)


def test_patch_mean_leaves_registers_out(configs: dict[str, EncoderConfig], pixels: NDArray[np.uint8]) -> None:
    from transformers import Dinov2WithRegistersModel

    config = configs["tiny-dinov2-registers"]
    tower = Dinov2WithRegistersModel.from_pretrained(config.checkpoint).eval()
    tokens = tower(values_by_hand(pixels, config)).last_hidden_state
    assert tokens.shape[1] == 1 + 4 + 16
    by_hand = torch.cat([tokens[:, 0], tokens[:, 5:].mean(dim=1)], dim=1)
    np.testing.assert_allclose(load_encoder(config).encode(pixels, max_value=255.0), unit_rows(by_hand), atol=5e-4)


def test_siglip_patch_mean_counts_every_token(configs: dict[str, EncoderConfig], pixels: NDArray[np.uint8]) -> None:
    from transformers import SiglipVisionModel

    config = configs["tiny-siglip-tower"]
    tokens = (
        SiglipVisionModel.from_pretrained(config.checkpoint).eval()(values_by_hand(pixels, config)).last_hidden_state
    )
    by_hand = unit_rows(tokens.mean(dim=1))
    np.testing.assert_allclose(load_encoder(config).encode(pixels, max_value=255.0), by_hand, atol=5e-4)


def test_tower_alone_gives_the_full_models_vector(configs: dict[str, EncoderConfig], pixels: NDArray[np.uint8]) -> None:
    from transformers import SiglipModel

    config = configs["tiny-siglip"]
    full = SiglipModel.from_pretrained(config.checkpoint).eval()
    by_hand = full.get_image_features(values_by_hand(pixels, config)).pooler_output
    np.testing.assert_allclose(load_encoder(config).encode(pixels, max_value=255.0), unit_rows(by_hand), atol=5e-4)


def test_text_tower_is_not_loaded(configs: dict[str, EncoderConfig]) -> None:
    encoder = load_encoder(configs["tiny-siglip"])
    assert not [name for name, _ in encoder._tower.named_parameters() if "text" in name]  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["tiny-dinov2", "tiny-siglip"])
def test_a_larger_input_uses_interpolated_positions(
    configs: dict[str, EncoderConfig], name: str, tissue: Callable[..., NDArray[np.float32]]
) -> None:
    encoder = load_encoder(replace(configs[name], input_size_px=84))
    pixels = (tissue(2, 84, seed=1) * 255).astype(np.uint8)
    assert np.isfinite(encoder.encode(pixels, max_value=255.0)).all()


def test_bfloat16_is_used_where_declared(configs: dict[str, EncoderConfig], pixels: NDArray[np.uint8]) -> None:
    config = replace(configs["tiny-dinov2"], dtype="bfloat16")
    encoder = load_encoder(config)
    weights = dict(encoder._tower.named_parameters())  # type: ignore[attr-defined]
    exact_ones = {name for name, weight in weights.items() if weight.dtype != torch.bfloat16}
    assert {name.rpartition(".")[0] for name in exact_ones} == {
        "embeddings.patch_embeddings.projection"
    }  # gray_input.py
    exact = load_encoder(configs["tiny-dinov2"]).encode(pixels, max_value=255.0)
    rounded = encoder.encode(pixels, max_value=255.0)
    assert 0 < np.abs(rounded.astype(np.float32) - exact).max() < 0.03


@pytest.mark.parametrize("name", ROWS)
def test_every_family_runs_in_bfloat16(name: str, checkpoints: Path) -> None:
    exact = small_row(name, checkpoints / "exact")
    if exact.loader == "texture":
        with pytest.raises(EncoderError, match="dtype float32"):
            load_encoder(replace(exact, dtype="bfloat16"))
        return
    pixels = np.random.default_rng(1).integers(0, 256, (2, exact.input_size_px, exact.input_size_px), dtype=np.uint8)
    rounded = load_encoder(replace(exact, dtype="bfloat16")).encode(pixels, max_value=255.0).astype(np.float64)
    plain = load_encoder(exact).encode(pixels, max_value=255.0).astype(np.float64)
    assert (rounded * plain).sum(
        axis=1
    ).min() > 0.9  # cosine; random weights amplify what rounding does more than trained ones


def test_dinov3_is_not_in_training(checkpoints: Path) -> None:
    # In training its positions are rescaled at random: two passes would differ.
    encoder = load_encoder(small_row("dinov3-vits16", checkpoints / "eval"))
    pixels = np.random.default_rng(2).integers(0, 256, (2, 64, 64), dtype=np.uint8)
    first = encoder.encode(pixels, max_value=255.0)
    assert np.array_equal(first, encoder.encode(pixels, max_value=255.0))
    tower = encoder._tower  # type: ignore[attr-defined]
    tower.train()
    assert not np.array_equal(first, encoder.encode(pixels, max_value=255.0))


def test_dinov3_patch_mean_leaves_its_registers_out(checkpoints: Path) -> None:
    from transformers import DINOv3ViTModel

    config = replace(small_row("dinov3-vits16", checkpoints / "mean"), output="patch_mean")
    pixels = np.random.default_rng(3).integers(0, 256, (2, 64, 64), dtype=np.uint8)
    result = DINOv3ViTModel.from_pretrained(config.checkpoint).eval()(values_by_hand(pixels, config))
    assert result.last_hidden_state.shape[1] == 1 + 4 + 16
    by_hand = unit_rows(result.last_hidden_state[:, 5:].mean(dim=1))
    np.testing.assert_allclose(load_encoder(config).encode(pixels, max_value=255.0), by_hand, atol=5e-4)
    cls = load_encoder(replace(config, output="cls")).encode(pixels, max_value=255.0)
    np.testing.assert_allclose(cls, unit_rows(result.pooler_output), atol=5e-4)


@pytest.mark.slow
@pytest.mark.long
def test_a_compiled_tower_gives_the_same_vectors_within_a_step(
    configs: dict[str, EncoderConfig], pixels: NDArray[np.uint8]
) -> None:
    plain = load_encoder(configs["tiny-dinov2"]).encode(pixels, max_value=255.0).astype(np.float64)
    compiled = load_encoder(replace(configs["tiny-dinov2"], compile=True)).encode(pixels, max_value=255.0)
    assert np.abs(plain - compiled).max() <= 2.0**-10


def test_vectors_keep_their_length_where_declared(configs: dict[str, EncoderConfig], pixels: NDArray[np.uint8]) -> None:
    config = replace(configs["tiny-dinov2"], l2_normalise=False)
    lengths = np.linalg.norm(load_encoder(config).encode(pixels, max_value=255.0).astype(np.float32), axis=1)
    assert lengths == pytest.approx(np.sqrt(32), rel=0.02)  # after a layer norm


def test_identity_follows_the_weights_and_not_their_folder(configs: dict[str, EncoderConfig], tmp_path: Path) -> None:
    source = configs["tiny-dinov2"]
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("config.json", "model.safetensors"):
        (moved / name).write_bytes((Path(str(source.checkpoint)) / name).read_bytes())
    config = replace(source, checkpoint=str(moved))
    assert identity_of(config) == identity_of(source)
    weights = bytearray((moved / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (moved / "model.safetensors").write_bytes(weights)
    assert identity_of(config) != identity_of(source)


def test_identity_of_a_hub_id_needs_no_weights(configs: dict[str, EncoderConfig]) -> None:
    config = replace(configs["tiny-dinov2"], checkpoint="facebook/dinov2-small", revision=COMMIT)
    assert identity_of(config)["weights"] == {"hub_id": "facebook/dinov2-small", "revision": COMMIT}
    other = replace(config, revision=COMMIT[::-1])
    assert identity_of(other) != identity_of(config)


@pytest.mark.parametrize("revision", [None, "main", COMMIT[:12], COMMIT.upper()])
@pytest.mark.parametrize("act", [load_encoder, identity_of])
def test_a_hub_id_without_a_full_commit_is_refused(
    configs: dict[str, EncoderConfig], act: Callable[[EncoderConfig], object], revision: str | None
) -> None:
    config = replace(configs["tiny-dinov2"], checkpoint="facebook/dinov2-small", revision=revision)
    with pytest.raises(EncoderError, match="40 hexadecimal digits"):
        act(config)


@pytest.mark.parametrize("act", [load_encoder, identity_of])
@pytest.mark.parametrize(
    ("checkpoint", "message"), [(None, "names no checkpoint"), ("/nowhere/at/all", "no folder /nowhere/at/all")]
)
def test_a_missing_checkpoint_is_refused(
    configs: dict[str, EncoderConfig], act: Callable[[EncoderConfig], object], checkpoint: str | None, message: str
) -> None:
    with pytest.raises(EncoderError, match=message):
        act(replace(configs["tiny-dinov2"], checkpoint=checkpoint))


@pytest.mark.parametrize(
    ("gated", "advice"), [(True, r"accept the terms at https://\S+, set HF_TOKEN"), (False, "run `hf download")]
)
def test_weights_that_are_not_here_are_one_sentence_of_advice(
    configs: dict[str, EncoderConfig], gated: bool, advice: str
) -> None:
    config = replace(configs["tiny-siglip"], checkpoint="google/not-downloaded", revision=COMMIT, gated=gated)
    with pytest.raises(EncoderError, match=advice) as caught:
        load_encoder(config)
    assert "encoder.checkpoint=/path" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_width_other_than_declared_is_refused(configs: dict[str, EncoderConfig]) -> None:
    with pytest.raises(EncoderError, match="32 wide, its settings say dim 33"):
        load_encoder(replace(configs["tiny-dinov2"], dim=33))


def test_a_size_that_is_no_multiple_of_the_patch_is_refused(configs: dict[str, EncoderConfig]) -> None:
    with pytest.raises(EncoderError, match="59 is not a multiple of its patch of 14 px.*use 56"):
        load_encoder(replace(configs["tiny-dinov2"], input_size_px=59))


@pytest.mark.parametrize(("name", "output"), [("tiny-dinov2", "map"), ("tiny-siglip", "cls"), ("tiny-siglip", "sum")])
def test_an_output_that_the_tower_has_not_is_refused(configs: dict[str, EncoderConfig], name: str, output: str) -> None:
    with pytest.raises(EncoderError, match=f"has no output '{output}'; use one of .*patch_mean"):
        load_encoder(replace(configs[name], output=output))


def copy_of(config: EncoderConfig, folder: Path, **changes: object) -> EncoderConfig:
    """The same checkpoint in `folder`, with some of its config.json changed."""
    for path in Path(str(config.checkpoint)).iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    settings = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(settings))
    return replace(config, checkpoint=str(folder))


def test_a_checkpoint_that_lacks_weights_is_refused(configs: dict[str, EncoderConfig], tmp_path: Path) -> None:
    config = copy_of(configs["tiny-dinov2"], tmp_path, num_hidden_layers=3)
    with pytest.raises(EncoderError, match="lacks .* weights .*would be random"):
        load_encoder(config)


def test_an_unknown_family_is_refused(configs: dict[str, EncoderConfig], tmp_path: Path) -> None:
    config = copy_of(configs["tiny-dinov2"], tmp_path, model_type="bert")
    with pytest.raises(EncoderError, match="bert model; use one of .*dinov2"):
        load_encoder(config)


def test_pickled_weights_are_refused(configs: dict[str, EncoderConfig], tmp_path: Path) -> None:
    config = copy_of(configs["tiny-dinov2"], tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(EncoderError, match=r"must hold config.json and model.safetensors"):
        load_encoder(config)
    with pytest.raises(EncoderError, match="pickled weights are not read"):
        identity_of(config)


def test_broken_weights_are_refused(configs: dict[str, EncoderConfig], tmp_path: Path) -> None:
    config = copy_of(configs["tiny-dinov2"], tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"not a checkpoint at all")
    with pytest.raises(EncoderError, match="cannot load .*SafetensorError"):
        load_encoder(config)
