"""What every encoder promises, whatever is inside."""

import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray
from tests.encoders.rows import CONF, ROWS, read_row

from tilebank.encoders.contract import Encoder, EncoderConfig, PreprocessSpec
from tilebank.encoders.huggingface.checkpoints import COMMIT
from tilebank.encoders.huggingface.model_families import assert_fits, build_network
from tilebank.encoders.registry import LOADERS, identity_of, load_encoder
from tilebank.errors import EncoderError
from tilebank.fingerprint import fingerprint_of

FLOAT16_STEP = 2.0**-11  # half a unit in the last place of a number just below one


@pytest.fixture(scope="module")
def images(config: EncoderConfig, tissue: Callable[..., NDArray[np.float32]]) -> NDArray[np.uint8]:
    gray = tissue(6, config.input_size_px, seed=3)
    gray[1, :, : config.input_size_px // 3] = 0  # background on one side
    return np.round(gray * 255).astype(np.uint8)


def test_vectors_are_finite_float16_of_the_declared_width(encoder: Encoder, images: NDArray[np.uint8]) -> None:
    vectors = encoder.encode(images, max_value=255.0)
    assert vectors.shape == (6, encoder.config.dim)
    assert vectors.dtype == np.float16
    assert np.isfinite(vectors).all()
    assert np.linalg.norm(vectors.astype(np.float64), axis=1) == pytest.approx(1.0, abs=2e-3)


def test_different_images_give_different_vectors(encoder: Encoder, images: NDArray[np.uint8]) -> None:
    vectors = encoder.encode(images, max_value=255.0).astype(np.float64)
    assert np.abs(vectors[0] - vectors[2]).max() > 10 * FLOAT16_STEP


def test_a_second_load_gives_the_same_vectors(encoder: Encoder, images: NDArray[np.uint8]) -> None:
    again = load_encoder(encoder.config, device="cpu")
    assert np.array_equal(encoder.encode(images, max_value=255.0), again.encode(images, max_value=255.0))


def test_a_vector_does_not_depend_on_its_company(encoder: Encoder, images: NDArray[np.uint8]) -> None:
    together = encoder.encode(images, max_value=255.0).astype(np.float64)
    alone = np.concatenate([encoder.encode(image[None], max_value=255.0) for image in images]).astype(np.float64)
    assert np.abs(together - alone).max() <= FLOAT16_STEP


def test_batch_size_does_not_shape_a_vector(encoder: Encoder, images: NDArray[np.uint8]) -> None:
    other = load_encoder(replace(encoder.config, batch_size=5), device="cpu")
    difference = encoder.encode(images, max_value=255.0).astype(np.float64) - other.encode(images, max_value=255.0)
    assert np.abs(difference).max() <= FLOAT16_STEP


def test_eight_and_sixteen_bits_of_one_picture_agree(encoder: Encoder, images: NDArray[np.uint8]) -> None:
    wide = images.astype(np.uint16) * 257  # 255 * 257 = 65535: past the sign bit of a signed number
    assert wide.max() > 32767
    narrow = encoder.encode(images, max_value=255.0).astype(np.float64)
    assert np.abs(narrow - encoder.encode(wide, max_value=65535.0)).max() <= 2 * FLOAT16_STEP


def test_full_scale_is_taken_by_image(encoder: Encoder, images: NDArray[np.uint8]) -> None:
    mixed = np.stack([images[0].astype(np.uint16) * 257, images[0].astype(np.uint16)])
    vectors = encoder.encode(mixed, max_value=np.array([65535, 255], dtype=np.float32)).astype(np.float64)
    assert np.abs(vectors[0] - vectors[1]).max() <= 2 * FLOAT16_STEP


def test_read_only_pixels_are_encoded_and_left_alone(encoder: Encoder, images: NDArray[np.uint8]) -> None:
    frozen = images.copy()
    frozen.setflags(write=False)
    vectors = encoder.encode(frozen, max_value=255.0)
    assert np.array_equal(frozen, images)
    assert np.array_equal(vectors, encoder.encode(images, max_value=255.0))


def test_no_images_give_no_vectors(encoder: Encoder, images: NDArray[np.uint8]) -> None:
    assert encoder.encode(images[:0], max_value=255.0).shape == (0, encoder.config.dim)


def test_blank_images_give_finite_vectors(encoder: Encoder, images: NDArray[np.uint8]) -> None:
    blank = np.stack([np.zeros_like(images[0]), np.full_like(images[0], 255)])
    assert np.isfinite(encoder.encode(blank, max_value=255.0)).all()


def test_pixels_of_another_size_are_refused_with_both_sizes(encoder: Encoder) -> None:
    size = encoder.config.input_size_px
    with pytest.raises(EncoderError, match=rf"\(N, {size}, {size}\), got \(2, {size}, 40\)"):
        encoder.encode(np.zeros((2, size, 40), dtype=np.uint8), max_value=255.0)


def test_pixels_of_another_type_are_refused(encoder: Encoder) -> None:
    size = encoder.config.input_size_px
    with pytest.raises(EncoderError, match="uint8 or uint16 pixels, got float32"):
        encoder.encode(np.zeros((1, size, size), dtype=np.float32), max_value=255.0)  # type: ignore[arg-type]


@pytest.mark.parametrize("scale", [0.0, float("nan"), np.ones(3, dtype=np.float32)])
def test_a_full_scale_that_is_none_is_refused(
    encoder: Encoder, images: NDArray[np.uint8], scale: float | NDArray[np.float32]
) -> None:
    with pytest.raises(EncoderError, match="max_value"):
        encoder.encode(images[:2], max_value=scale)


def test_identity_is_stable_and_holds_no_path(config: EncoderConfig) -> None:
    text = json.dumps(identity_of(config))
    assert text == json.dumps(identity_of(config))
    for place in (config.checkpoint or "/tmp", str(Path.home()), "/tmp", config.name + "/"):
        assert place not in text


@pytest.mark.parametrize(
    "change",
    [
        {"output": "another"},
        {"input_size_px": 112},
        {"dim": 7},
        {"dtype": "bfloat16"},
        {"compile": True},
        {"l2_normalise": False},
        {"preprocess": PreprocessSpec(mean=(0.1,), std=(1.0,), channels=1)},
        {"preprocess": PreprocessSpec(mean=(0.0,), std=(2.0,), channels=1)},
        {"preprocess": PreprocessSpec(mean=(0.0,), std=(1.0,), channels=3)},
    ],
)
def test_identity_changes_with_what_shapes_a_vector(config: EncoderConfig, change: dict[str, object]) -> None:
    assert fingerprint_of(identity_of(replace(config, **change))) != fingerprint_of(identity_of(config))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change", [{"batch_size": 99}, {"name": "other"}, {"licence": "other"}, {"gated": True}, {"architecture": {}}]
)
def test_identity_does_not_change_with_what_does_not(config: EncoderConfig, change: dict[str, object]) -> None:
    assert identity_of(replace(config, **change)) == identity_of(config)  # type: ignore[arg-type]


def test_every_loader_is_under_this_contract() -> None:
    assert {read_row(name).loader for name in ROWS} == set(LOADERS)


def test_an_unknown_loader_is_refused_with_the_known_ones(config: EncoderConfig) -> None:
    with pytest.raises(EncoderError, match="'timm' is unknown; use one of .*texture"):
        load_encoder(replace(config, loader="timm"))


def test_a_device_that_is_not_there_is_refused(config: EncoderConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(EncoderError, match="cuda:1 is not on this machine"):
        load_encoder(config, device="cuda:1")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": -1}, "batch_size"),
        ({"dtype": "float16"}, "float32 or bfloat16"),
        ({"preprocess": PreprocessSpec(mean=(0.5, 0.5), std=(1.0,), channels=3)}, "one a channel"),
        ({"preprocess": PreprocessSpec(mean=(0.5,), std=(0.0,), channels=1)}, "above 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    config: EncoderConfig, change: dict[str, object], message: str
) -> None:
    with pytest.raises(EncoderError, match=message):
        load_encoder(replace(config, **change))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ROWS)
def test_shipped_settings_are_complete_and_pinned(name: str) -> None:
    row = read_row(name)
    assert set(yaml.safe_load((CONF / f"{name}.yaml").read_text())) == {field.name for field in fields(EncoderConfig)}
    assert row.name == name
    if not LOADERS[row.loader].has_weights:
        assert identity_of(row)["weights"] is None
    else:
        assert COMMIT.fullmatch(str(row.revision))
        assert bool(row.source) != bool(row.checkpoint)


@pytest.mark.parametrize("name", [name for name in ROWS if read_row(name).checkpoint])
def test_shipped_weights_are_named_by_hub_and_commit(name: str) -> None:
    row = read_row(name)
    assert identity_of(row)["weights"] == {"hub_id": row.checkpoint, "revision": row.revision}


@pytest.mark.parametrize("name", [name for name in ROWS if read_row(name).source])
@pytest.mark.parametrize("act", [identity_of, load_encoder])
def test_a_shipped_pickle_says_how_to_convert_it(name: str, act: Callable[[EncoderConfig], object]) -> None:
    row = read_row(name)
    command = f"tilebank convert --encoder {name} --file FILE --folder FOLDER"
    with pytest.raises(EncoderError, match=command) as caught:
        act(row)
    assert f"--revision {row.revision}" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [name for name in ROWS if read_row(name).gated])
def test_shipped_gates_say_where_to_ask(name: str) -> None:
    row = read_row(name)
    with pytest.raises(
        EncoderError, match=f"accept the terms at https://huggingface.co/{row.checkpoint}, set HF_TOKEN"
    ):
        load_encoder(row)


@pytest.mark.parametrize("name", [name for name in ROWS if read_row(name).architecture])
def test_shipped_settings_fit_their_architecture(name: str) -> None:
    row = read_row(name)
    with torch.device("meta"):
        settings = build_network(row).config
    assert_fits(row, settings, projection_width=row.dim)
    if row.output != "projected":
        with pytest.raises(EncoderError, match="its settings say dim"):
            assert_fits(replace(row, dim=row.dim + 1), settings, projection_width=0)


def test_shipped_default_loads_and_encodes() -> None:
    encoder = load_encoder(read_row("texture"))
    assert encoder.encode(np.full((1, 256, 256), 9, dtype=np.uint8), max_value=255.0).shape == (1, 110)
