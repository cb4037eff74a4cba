"""Our pixel values are those of the processors that the checkpoints were published with."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tilebank.encoders.preprocessing import normalise, pixels_to_unit
from tilebank.encoders.spec import PreprocessSpec

IMAGENET = PreprocessSpec(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), channels=3)
HALF = PreprocessSpec(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), channels=3)


@pytest.fixture
def gray() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (3, 56, 56), dtype=np.uint8)


def our_values(gray: NDArray[np.uint8], spec: PreprocessSpec) -> torch.Tensor:
    scale = np.full(len(gray), 255, dtype=np.float32)
    return normalise(pixels_to_unit(gray, scale, device=torch.device("cpu")), spec)


def rgb(gray: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    return [np.repeat(image[:, :, None], 3, axis=2) for image in gray]


def test_values_equal_those_of_the_dinov2_processor(gray: NDArray[np.uint8]) -> None:
    from transformers import BitImageProcessor

    processor = BitImageProcessor(
        do_resize=False, do_center_crop=False, image_mean=list(IMAGENET.mean), image_std=list(IMAGENET.std)
    )
    theirs = processor(rgb(gray), return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(our_values(gray, IMAGENET), theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("options", [{"do_resize": False}, {"size": {"height": 56, "width": 56}}])
def test_values_equal_those_of_the_siglip_processor(gray: NDArray[np.uint8], options: dict[str, object]) -> None:
    from transformers import SiglipImageProcessor

    processor = SiglipImageProcessor(image_mean=list(HALF.mean), image_std=list(HALF.std), **options)
    theirs = processor(rgb(gray), return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(our_values(gray, HALF), theirs, rtol=0, atol=1e-5)


def test_gray_is_repeated_without_a_copy_where_channels_agree(gray: NDArray[np.uint8]) -> None:
    values = our_values(gray, HALF)
    assert values.shape == (3, 3, 56, 56)
    assert values.stride(1) == 0
    assert our_values(gray, IMAGENET).stride(1) != 0


def test_every_sixteen_bit_value_keeps_its_place() -> None:
    pixels = np.arange(65536, dtype=np.uint16).reshape(1, 256, 256)
    unit = pixels_to_unit(pixels, np.array([65535], dtype=np.float32), device=torch.device("cpu"))
    assert torch.equal(unit.flatten(), torch.arange(65536, dtype=torch.float32) / 65535)


def test_pixels_cut_from_a_larger_image_are_read_in_their_order() -> None:
    whole = np.arange(400, dtype=np.uint16).reshape(1, 20, 20)
    unit = pixels_to_unit(whole[:, 4:8, 6:10], np.array([1], dtype=np.float32), device=torch.device("cpu"))
    assert np.array_equal(unit.numpy(), whole[:, 4:8, 6:10])
