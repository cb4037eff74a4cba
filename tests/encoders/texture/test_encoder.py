"""The default encoder sees what a mammogram is read for, and little of what it is not."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from tilebank.encoders.contract import Encoder, EncoderConfig
from tilebank.encoders.registry import load_encoder
from tilebank.errors import EncoderError

TILES = 240
Draw = Callable[[NDArray[np.float32], np.random.Generator], None]


@pytest.fixture(scope="module")
def encoder(configs: dict[str, EncoderConfig]) -> Encoder:
    return load_encoder(replace(configs["texture"], batch_size=8), device="cpu")


@pytest.fixture(scope="module")
def tiles(tissue: Callable[..., NDArray[np.float32]]) -> NDArray[np.float32]:
    return tissue(TILES, 256, seed=11)


def draw_cluster(tile: NDArray[np.float32], rng: np.random.Generator) -> None:
    """5 to 15 specks of 1 to 4 px within some 40 px, 8 times the white noise in contrast."""
    y, x = np.mgrid[:256, :256]
    centre = rng.uniform(50, 206, 2)
    for _ in range(rng.integers(5, 16)):
        row, column = np.clip(rng.normal(centre, 18), 3, 252)
        distance = np.hypot(y - row, x - column)
        tile += 8 * 0.012 * np.clip(rng.uniform(0.5, 2) - distance + 0.5, 0, 1)


def draw_mass(tile: NDArray[np.float32], rng: np.random.Generator) -> None:
    """A blurred disc of 60 to 120 px, 2.5 times the tissue's own deviation in contrast."""
    y, x = np.mgrid[:256, :256]
    row, column = rng.uniform(70, 186, 2)
    tile += 2.5 * 0.08 / (1 + np.exp((np.hypot(y - row, x - column) - rng.uniform(30, 60)) / 6))


def to_12_bits(tiles: NDArray[np.float32]) -> NDArray[np.uint16]:
    return np.round(np.clip(tiles, 0, 1) * 4095).astype(np.uint16)


@pytest.mark.parametrize("draw", [draw_cluster, draw_mass])
def test_a_linear_head_finds_the_lesion_in_tiles_it_has_not_seen(
    encoder: Encoder, tiles: NDArray[np.float32], draw: Draw
) -> None:
    rng = np.random.default_rng(5)
    labels = np.arange(TILES) % 2
    drawn = tiles.copy()
    for place in np.flatnonzero(labels):
        draw(drawn[place], rng)
    vectors = encoder.encode(to_12_bits(drawn), max_value=4095.0).astype(np.float32)
    seen = np.arange(TILES) < TILES // 2
    head = LogisticRegression(C=1.0, max_iter=2000).fit(vectors[seen], labels[seen])
    assert roc_auc_score(labels[~seen], head.decision_function(vectors[~seen])) > 0.9


def test_gain_changes_a_vector_little(encoder: Encoder, tiles: NDArray[np.float32]) -> None:
    bright = encoder.encode(to_12_bits(tiles[:8]), max_value=4095.0).astype(np.float32)
    dark = encoder.encode(to_12_bits(tiles[:8] * 0.7), max_value=4095.0).astype(np.float32)
    other = bright[np.roll(np.arange(8), 1)]
    assert (bright * dark).sum(axis=1).min() > 0.9  # cosine
    assert (bright * dark).sum(axis=1).mean() > (bright * other).sum(axis=1).mean() + 0.2


def test_the_skin_line_does_not_swamp_the_tissue(encoder: Encoder, tiles: NDArray[np.float32]) -> None:
    whole = tiles[:8]
    bordered = whole.copy()
    bordered[:, :, 180:] = 0
    inside = encoder.encode(to_12_bits(whole), max_value=4095.0).astype(np.float32)
    border = encoder.encode(to_12_bits(bordered), max_value=4095.0).astype(np.float32)
    fine = slice(6, 43)  # the octaves of 4, 8 and 16 px
    assert np.abs(inside[:, fine] - border[:, fine]).mean() < 0.5 * np.abs(inside[:, fine]).mean()


def test_turning_a_tile_moves_its_directions_and_nothing_else(encoder: Encoder, tiles: NDArray[np.float32]) -> None:
    striped = tiles[:1] + 0.1 * np.sin(2 * np.pi * np.arange(256) / 16, dtype=np.float32)
    upright = encoder.encode(to_12_bits(striped), max_value=4095.0)[0].astype(np.float32)
    turned = encoder.encode(to_12_bits(np.rot90(striped, axes=(1, 2))), max_value=4095.0)[0].astype(np.float32)
    shares = slice(35, 39)  # of the octave of 16 px, at 0, 45, 90 and 135 degrees
    assert int(upright[shares].argmax()) == 0
    assert int(turned[shares].argmax()) == 2
    assert np.abs(upright[:13] - turned[:13]).max() < 0.03  # energies, and the octave without directions


def test_a_vector_is_the_same_bit_for_bit_alone_and_in_company(encoder: Encoder, tiles: NDArray[np.float32]) -> None:
    pixels = to_12_bits(tiles[:9])
    pixels[2, :, :99] = 0
    together = encoder.encode(pixels, max_value=4095.0)
    assert np.array_equal(together[2], encoder.encode(pixels[2:3], max_value=4095.0)[0])
    assert np.array_equal(together[8], encoder.encode(pixels[8:], max_value=4095.0)[0])


def test_tiles_without_tissue_say_so_and_nothing_more(encoder: Encoder) -> None:
    empty = encoder.encode(np.zeros((1, 256, 256), dtype=np.uint8), max_value=255.0)[0]
    assert np.flatnonzero(empty).tolist() == [102]  # the share of background


def test_arithmetic_is_that_of_the_declared_version(encoder: Encoder) -> None:
    """A change here is a new version of the loader: raise it in registry.LOADERS, or stored vectors get mixed."""
    y, x = np.mgrid[:256, :256].astype(np.float64)
    picture = 0.4 + 0.1 * np.sin(x / 9) * np.cos(y / 23) + 0.05 * np.sin(x * y / 500) + 0.0005 * x
    picture[:, 230:] = 0
    vector = encoder.encode(to_12_bits(picture.astype(np.float32))[None], max_value=4095.0)[0].astype(np.float64)
    golden = [-0.174, 0.1497, -0.0606, -0.1307, 0.0277, -0.0019, -0.1063, -0.0809, -0.1234, -0.0529, -0.0453]
    assert vector[::10] == pytest.approx(golden, abs=2e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input_size_px": 200}, "128, 256, 512"),
        ({"dim": 64}, "gives dim 110"),
        ({"output": "cls"}, "output statistics"),
    ],
)
def test_settings_that_it_cannot_honour_are_refused(
    configs: dict[str, EncoderConfig], change: dict[str, object], message: str
) -> None:
    with pytest.raises(EncoderError, match=message):
        load_encoder(replace(configs["texture"], **change))  # type: ignore[arg-type]


@pytest.mark.parametrize("size_px", [128, 512])
def test_other_sizes_that_are_powers_of_two_work(
    configs: dict[str, EncoderConfig], tissue: Callable[..., NDArray[np.float32]], size_px: int
) -> None:
    encoder = load_encoder(replace(configs["texture"], input_size_px=size_px), device="cpu")
    vectors = encoder.encode(to_12_bits(tissue(2, size_px, seed=1)), max_value=4095.0)
    assert np.count_nonzero(vectors[0]) > 100
