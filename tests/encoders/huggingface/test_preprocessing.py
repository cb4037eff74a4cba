"""Our pixel values are those of the processors that the checkpoints were published with."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.encoders.rows import ROWS, read_row

from tilebank.encoders.contract import EncoderConfig, PreprocessSpec
from tilebank.encoders.huggingface.preprocessing import normalise, sendable, to_unit

IMAGENET = PreprocessSpec(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), channels=3)
HALF = PreprocessSpec(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), channels=3)
PROCESSORS = {  # by model_type: the class of the owner's processor where transformers has one that needs no torchvision
    "dinov2": "BitImageProcessor",
    "dinov2_with_registers": "BitImageProcessor",
    "siglip_vision_model": "SiglipImageProcessor",
    "vit": "CLIPImageProcessor",  # BiomedCLIP: open_clip's transform
}


def family_of(config: EncoderConfig) -> str:
    return str((config.architecture or {}).get("model_type"))


def unit_of(gray: NDArray[Any], scale: float) -> torch.Tensor:
    return to_unit(torch.from_numpy(sendable(gray)), torch.full((len(gray),), scale))


def rgb(gray: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    return [np.repeat(image[:, :, None], 3, axis=2) for image in gray]


@pytest.mark.parametrize("name", [name for name in ROWS if family_of(read_row(name)) in PROCESSORS])
def test_values_equal_those_of_the_owners_processor(name: str) -> None:
    import transformers

    row = read_row(name)
    size = row.input_size_px
    gray = np.random.default_rng(0).integers(0, 256, (1, size, size), dtype=np.uint8)
    kind = PROCESSORS[family_of(row)]
    options: dict[str, Any] = {"size": {"height": size, "width": size}}
    if kind != "SiglipImageProcessor":
        options = {"size": {"shortest_edge": size}, "crop_size": {"height": size, "width": size}}
    processor = getattr(transformers, kind)(
        image_mean=list(row.preprocess.mean), image_std=list(row.preprocess.std), do_convert_rgb=None, **options
    )
    theirs = processor(rgb(gray), return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(normalise(unit_of(gray, 255.0), row.preprocess), theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in ROWS if family_of(read_row(name)) == "dinov3_vit"])
def test_dinov3_has_the_values_of_its_papers_imagenet_statistics(name: str) -> None:
    # Its processor needs torchvision, so the numbers themselves are held: 255 is (1 - mean) / std.
    white = normalise(unit_of(np.full((1, 2, 2), 255, dtype=np.uint8), 255.0), read_row(name).preprocess)
    assert white[0, :, 0, 0].tolist() == pytest.approx([2.2489, 2.4286, 2.6400], abs=1e-4)


def test_gray_is_repeated_without_a_copy_where_channels_agree() -> None:
    unit = unit_of(np.zeros((3, 56, 56), dtype=np.uint8), 255.0)
    assert normalise(unit, HALF).shape == (3, 3, 56, 56)
    assert normalise(unit, HALF).stride(1) == 0
    assert normalise(unit, IMAGENET).stride(1) != 0


def test_every_sixteen_bit_value_keeps_its_place() -> None:
    pixels = np.arange(65536, dtype=np.uint16).reshape(1, 256, 256)
    assert torch.equal(unit_of(pixels, 65535.0).flatten(), torch.arange(65536, dtype=torch.float32) / 65535)


def test_pixels_cut_from_a_larger_image_are_read_in_their_order() -> None:
    whole = np.arange(400, dtype=np.uint16).reshape(1, 20, 20)
    assert np.array_equal(unit_of(whole[:, 4:8, 6:10], 1.0).numpy(), whole[:, 4:8, 6:10])
