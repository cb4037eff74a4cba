"""One gray channel through the folded convolution gives what three normalised channels give through the owner's."""

import pytest
import torch
from tests.encoders.rows import ROWS, read_row, shrunk
from torch import nn

from tilebank.encoders.contract import PreprocessSpec
from tilebank.encoders.huggingface.gray_input import fold_gray, install_gray
from tilebank.encoders.huggingface.model_families import MODEL_FAMILIES, build_network
from tilebank.encoders.huggingface.preprocessing import normalise
from tilebank.errors import EncoderError

IMAGENET = PreprocessSpec(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), channels=3)
FOLDED = [
    name
    for name in ROWS
    if (shape := read_row(name).architecture) is not None and MODEL_FAMILIES[shape["model_type"]].patches
]


@pytest.mark.parametrize("name", FOLDED)
def test_folded_tower_gives_what_the_owners_gives(name: str) -> None:
    torch.manual_seed(0)
    row = shrunk(read_row(name))
    tower = build_network(row)
    unit = torch.rand(3, row.input_size_px, row.input_size_px)
    with torch.inference_mode():
        plain = tower(pixel_values=normalise(unit, row.preprocess)).last_hidden_state
        path = MODEL_FAMILIES[tower.config.model_type].patches
        install_gray(tower, path, fold_gray(tower.get_submodule(path), row.preprocess, dtype=torch.float32))
        folded = tower(pixel_values=unit[:, None]).last_hidden_state
    assert plain.std() > 0.1
    torch.testing.assert_close(folded, plain, rtol=0, atol=1e-5)


@pytest.mark.parametrize("patch", [14, 16])
def test_folded_patches_of_real_size_agree_to_five_digits(patch: int) -> None:
    torch.manual_seed(1)
    convolution = nn.Conv2d(3, 384, patch, stride=patch)
    unit = torch.rand(2, 4 * patch, 4 * patch)
    with torch.inference_mode():
        plain = convolution(normalise(unit, IMAGENET))
        folded = fold_gray(convolution, IMAGENET, dtype=torch.float32)(unit[:, None])
    torch.testing.assert_close(folded, plain, rtol=0, atol=1e-5)


def test_gray_levels_beyond_eight_bits_survive_a_bfloat16_tower() -> None:
    torch.manual_seed(2)
    convolution = nn.Conv2d(3, 64, 16, stride=16)
    level = torch.full((1, 1, 16, 16), 0.5)
    finer = level + 1 / 4095  # one step of 12 bits: below the step of bfloat16 there, 1/256
    assert torch.equal(level.to(torch.bfloat16), finer.to(torch.bfloat16))
    folded = fold_gray(convolution, IMAGENET, dtype=torch.bfloat16)
    with torch.inference_mode():
        assert folded(level).dtype == torch.bfloat16
        assert not torch.equal(folded(level), folded(finer))


def test_a_padded_convolution_is_not_folded() -> None:
    with pytest.raises(EncoderError, match="padded"):
        fold_gray(nn.Conv2d(3, 8, 3, padding=1), IMAGENET, dtype=torch.float32)


def test_a_convolution_without_bias_gets_one() -> None:
    torch.manual_seed(3)
    convolution = nn.Conv2d(3, 8, 4, stride=4, bias=False)
    unit = torch.rand(1, 8, 8)
    with torch.inference_mode():
        folded = fold_gray(convolution, IMAGENET, dtype=torch.float32)(unit[:, None])
        torch.testing.assert_close(folded, convolution(normalise(unit, IMAGENET)), rtol=0, atol=1e-5)
