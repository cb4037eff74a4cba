"""What a tile costs is counted on the shipped architectures, and is what was measured for them elsewhere."""

from dataclasses import replace

import pytest
from tests.cases import with_long
from tests.encoders.rows import ROWS, read_row

from tilebank.encoders.registry import flops_per_tile
from tilebank.errors import EncoderError

GFLOP = {  # of the real classes with random weights, two for a multiplication with its addition
    "dinov2-small": 93.4,
    "dinov2-base": 303.1,
    "rad-dino": 303.1,
    "dinov2-large": 1013.6,
    "dinov2-giant": 3566.7,
    "dinov2-reg-giant": 3578.4,
    "medsiglip-448": 979.2,
    "siglip2-so400m-384": 670.3,
    "siglip2-so400m-512": 979.6,
    "biomedclip": 35.1,
    "dinov3-vitl16": 727.2,
    "dinov3-vith16plus": 1901.9,
}

# Of the classes of smaller ones, which stay.
GIANTS = ("dinov2-large", "dinov2-giant", "dinov2-reg-giant", "dinov3-vith16plus", "rad-dino")


@pytest.mark.parametrize("name", with_long(sorted(GFLOP), GIANTS))
def test_a_tile_costs_what_is_known_of_its_network(name: str) -> None:
    assert flops_per_tile(read_row(name)) / 1e9 == pytest.approx(GFLOP[name], rel=0.03)


@pytest.mark.parametrize(("name", "published_px", "gflop"), [("mammo-clip-b2", 260, 2.0), ("mammo-clip-b5", 456, 19.8)])
def test_efficientnets_cost_what_their_paper_says(name: str, published_px: int, gflop: float) -> None:
    # Tan & Le 2019, ICML, table 2: 1.0 and 9.9 G multiplications with their additions
    assert flops_per_tile(replace(read_row(name), input_size_px=published_px)) / 1e9 == pytest.approx(gflop, rel=0.35)


@pytest.mark.parametrize("name", with_long(ROWS, GIANTS))
def test_a_larger_tile_costs_more(name: str) -> None:
    row = read_row(name)
    assert 0 < flops_per_tile(row) < flops_per_tile(replace(row, input_size_px=2 * row.input_size_px))


@pytest.mark.parametrize(
    ("architecture", "says"),
    [
        (None, "architecture.model_type None is unknown; use one of .*dinov2"),
        ({"model_type": "bert"}, "'bert' is unknown"),
        ({"model_type": "dinov2", "hiden_size": 8}, "architecture.hiden_size is unknown to Dinov2Config"),
    ],
)
def test_an_architecture_that_says_nothing_is_refused(architecture: dict[str, object] | None, says: str) -> None:
    with pytest.raises(EncoderError, match=says):
        flops_per_tile(replace(read_row("dinov2-small"), architecture=architecture))
