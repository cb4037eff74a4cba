"""Pieces fit into memory: found before it runs out, halved when it does, and no vector is lost or changed by it."""

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.encoders.rows import read_row
from torch import Tensor, nn

from tilebank.encoders.contract import EncoderConfig, PreprocessSpec
from tilebank.encoders.huggingface.batching import CPU_SIZE, LARGEST_SIZE, Batcher, fitting_size, pad_rows
from tilebank.encoders.huggingface.device_transfer import DeviceTransfer
from tilebank.encoders.registry import load_encoder
from tilebank.errors import EncoderError

CPU = torch.device("cpu")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def config_of(batch_size: int) -> EncoderConfig:
    return EncoderConfig(
        name="means",
        loader="texture",
        input_size_px=8,
        dim=8,
        output="statistics",
        preprocess=PreprocessSpec(mean=(0.0,), std=(1.0,), channels=1),
        l2_normalise=False,
        dtype="float32",
        batch_size=batch_size,
        licence="own",
    )


class Limited(nn.Module):
    """The mean of every row, (n, 8); above `most` images its memory runs out, as a GPU's would."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most
        self.seen: list[int] = []

    def forward(self, unit: Tensor) -> Tensor:
        self.seen.append(len(unit))
        if len(unit) > self.most:
            raise torch.OutOfMemoryError(f"{len(unit)} images are too many")
        return unit.mean(dim=2)


@pytest.fixture
def pixels() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (21, 8, 8), dtype=np.uint8)


def test_running_out_of_memory_halves_and_goes_on_from_there(pixels: NDArray[np.uint8]) -> None:
    network = Limited(most=5)
    vectors = Batcher(network, config=config_of(16), device=CPU).encode(pixels, max_value=255.0)
    assert np.array_equal(vectors, (pixels / np.float32(255)).astype(np.float32).mean(axis=2).astype(np.float16))
    assert network.seen == [16, 8, 4, 4, 4, 4, 4, 1]


def test_memory_that_runs_out_later_costs_no_piece_that_is_done(pixels: NDArray[np.uint8]) -> None:
    network = Limited(most=8)
    batcher = Batcher(network, config=config_of(8), device=CPU)
    first = batcher.encode(pixels[:8], max_value=255.0)
    network.most, network.seen = 4, []
    rest = batcher.encode(pixels[8:], max_value=255.0)
    assert network.seen == [8, 4, 4, 4, 1]
    whole = Batcher(Limited(most=8), config=config_of(8), device=CPU).encode(pixels, max_value=255.0)
    assert np.array_equal(np.concatenate([first, rest]), whole)


def test_the_smaller_size_is_remembered_and_said_once(
    pixels: NDArray[np.uint8], caplog: pytest.LogCaptureFixture
) -> None:
    network = Limited(most=4)
    batcher = Batcher(network, config=config_of(8), device=CPU)
    with caplog.at_level(logging.WARNING):
        batcher.encode(pixels, max_value=255.0)
        batcher.encode(pixels, max_value=255.0)
    assert batcher.batch_size == 4
    assert network.seen.count(8) == 1
    assert [record.getMessage() for record in caplog.records] == [
        "encoder means: batch of 8 ran out of memory, going on with half"
    ]


def test_one_image_that_does_not_fit_stops_with_what_to_do(pixels: NDArray[np.uint8]) -> None:
    with pytest.raises(EncoderError, match="not even one image of 8 px fits.*use a smaller encoder"):
        Batcher(Limited(most=0), config=config_of(4), device=CPU).encode(pixels, max_value=255.0)


def test_another_error_is_not_taken_for_a_lack_of_memory(pixels: NDArray[np.uint8]) -> None:
    def broken(_: Tensor) -> Tensor:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        Batcher(broken, config=config_of(4), device=CPU).encode(pixels, max_value=255.0)


def test_an_automatic_size_is_found_at_the_first_images(pixels: NDArray[np.uint8]) -> None:
    network = Limited(most=100)
    batcher = Batcher(network, config=config_of(0), device=CPU)
    assert batcher.batch_size == 0
    batcher.encode(pixels, max_value=255.0)
    assert batcher.batch_size == CPU_SIZE
    assert network.seen == [8, 8, 5]


@pytest.mark.parametrize(
    ("free_gb", "each_gb", "size"), [(10, 1, 8), (10, 0.9, 8), (10, 4.1, 1), (1, 9, 1), (100, 1, 64), (10, 0, 64)]
)
def test_the_size_is_the_largest_power_of_two_that_fits(free_gb: float, each_gb: float, size: int) -> None:
    assert fitting_size(free_gb * 1e9, bytes_each=each_gb * 1e9) == size <= LARGEST_SIZE


def test_pieces_are_padded_to_one_shape() -> None:
    unit = torch.ones(3, 4, 4)
    padded = pad_rows(unit, rows=5)
    assert padded.shape == (5, 4, 4)
    assert torch.equal(padded[:3], unit)
    assert not padded[3:].any()
    assert pad_rows(unit, rows=3) is unit


def test_on_a_cpu_nothing_is_copied_on_its_way() -> None:
    array = np.arange(6, dtype=np.int16)
    sent = DeviceTransfer(CPU).send(array)
    array[0] = 7
    assert sent.tolist() == [7, 1, 2, 3, 4, 5]


@needs_gpu
def test_what_arrives_on_a_gpu_is_what_was_sent() -> None:
    lane = DeviceTransfer(torch.device("cuda"))
    arrays = [np.random.default_rng(seed).integers(-(2**15), 2**15, (4, 512, 512), dtype=np.int16) for seed in range(8)]
    sums = [lane.send(array).to(torch.int64).sum() for array in arrays]  # nobody waits in between
    assert [int(total) for total in sums] == [int(array.astype(np.int64).sum()) for array in arrays]


@needs_gpu
def test_a_gpu_gives_the_vectors_of_a_cpu_at_a_size_found_by_itself() -> None:
    texture = read_row("texture")
    pixels = np.random.default_rng(1).integers(0, 4096, (40, 256, 256), dtype=np.uint16)
    slow = load_encoder(texture, device="cpu").encode(pixels, max_value=4095.0).astype(np.float64)
    fast = load_encoder(replace(texture, batch_size=0), device="cuda").encode(pixels, max_value=4095.0)
    assert np.abs(slow - fast).max() < 5e-3
