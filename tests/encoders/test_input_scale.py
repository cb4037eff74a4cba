"""Every encoder of conf/ on smaller tiles: another input size, the same network, vectors of the same kind."""

from dataclasses import replace

import numpy as np
import pytest
from tests.encoders.rows import ROWS, read_row

from tilebank.encoders.contract import EncoderConfig
from tilebank.encoders.input_scale import at_scale
from tilebank.encoders.registry import load_encoder
from tilebank.errors import EncoderError


def test_every_encoder_of_conf_sees_half_its_tile(config: EncoderConfig) -> None:
    half = at_scale(config, scale=0.5)
    assert half.input_size_px < config.input_size_px
    pixels = np.random.default_rng(0).integers(
        100, 4096, size=(2, half.input_size_px, half.input_size_px), dtype=np.uint16
    )
    vectors = load_encoder(half, device="cpu").encode(pixels, max_value=4095.0)
    assert vectors.shape == (2, config.dim)
    assert np.isfinite(vectors).all()
    assert not np.array_equal(vectors[0], vectors[1])


@pytest.mark.parametrize("name", ROWS)
def test_a_half_is_whole_patches_and_a_whole_is_the_encoder_itself(name: str) -> None:
    config = read_row(name)
    patch = (config.architecture or {}).get("patch_size", 1)
    half = at_scale(config, scale=0.5)
    assert half.input_size_px % patch == 0
    assert abs(half.input_size_px - config.input_size_px / 2) <= patch / 2
    assert replace(half, input_size_px=config.input_size_px, batch_size=config.batch_size) == config
    assert half.batch_size * half.input_size_px**2 == pytest.approx(
        config.batch_size * config.input_size_px**2, rel=0.1
    )
    if config.input_size_px % patch == 0:
        assert at_scale(config, scale=1.0) == config


def test_less_than_a_patch_is_refused() -> None:
    with pytest.raises(EncoderError, match="less than one patch of 14 px"):
        at_scale(read_row("dinov2-base"), scale=0.01)
