"""Weights published as pickles give, once converted, what their owners' networks give; nothing in them is run."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.encoders.published_networks import (
    blocks_of,
    efficientnet_map,
    random_efficientnet,
    random_vit,
    vit_embedding,
)
from tests.encoders.rows import CONF, PROJECTION, SMALL_NOMINAL_PX, published_of, read_row, shrunk

from tilebank.encoders.contract import EncoderConfig
from tilebank.encoders.conversion.convert import convert_checkpoint
from tilebank.encoders.conversion.pickled_checkpoint import read_tensors
from tilebank.encoders.huggingface.preprocessing import normalise
from tilebank.encoders.registry import identity_of, load_encoder
from tilebank.errors import EncoderError

CHECKOUT = CONF.parents[1]


def converted(row: EncoderConfig, state: dict[str, Any], folder: Path) -> EncoderConfig:
    """The row pointed at a folder made of `state`, once it was pickled."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(state, folder / "published.bin")
    convert_checkpoint(row, published=folder / "published.bin", folder=folder / "made")
    return replace(row, checkpoint=str(folder / "made"))


def pixels_of(row: EncoderConfig, *, count: int = 2) -> np.ndarray[Any, np.dtype[np.uint8]]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, row.input_size_px, row.input_size_px), dtype=np.uint8)


def images_of(pixels: np.ndarray[Any, np.dtype[np.uint8]], row: EncoderConfig) -> torch.Tensor:
    return normalise(torch.from_numpy(pixels).float() / 255, row.preprocess)


def unit_rows(vectors: torch.Tensor) -> np.ndarray[Any, np.dtype[np.float32]]:
    return torch.nn.functional.normalize(vectors, dim=1).numpy()


def test_biomedclip_gives_what_timm_and_open_clip_give(tmp_path: Path) -> None:
    row = shrunk(read_row("biomedclip"))
    state = published_of(row)
    config = converted(row, state | {"logit_scale": torch.tensor(4.6), "text.proj.0.weight": torch.ones(3)}, tmp_path)
    pixels = pixels_of(row)
    theirs = unit_rows(vit_embedding(state, images_of(pixels, row), heads=4))
    np.testing.assert_allclose(load_encoder(config).encode(pixels, max_value=255.0), theirs, atol=5e-4)
    assert np.linalg.norm(theirs[0] - theirs[1]) > 0.1


def test_biomedclip_at_its_own_width_keeps_every_weight(tmp_path: Path) -> None:
    row = read_row("biomedclip")
    shape = dict(row.architecture or {}) | {"num_hidden_layers": 1}
    state = random_vit(width=768, layers=1, hidden=3072, patch=16, size_px=224, projection=512, seed=3)
    config = converted(replace(row, architecture=shape), state, tmp_path)
    pixels = pixels_of(row, count=1)
    theirs = unit_rows(vit_embedding(state, images_of(pixels, row), heads=12))
    np.testing.assert_allclose(load_encoder(config).encode(pixels, max_value=255.0), theirs, atol=5e-4)


@pytest.mark.parametrize("name", ["mammo-clip-b2", "mammo-clip-b5"])
def test_mammo_clip_gives_what_its_package_gives(name: str, tmp_path: Path) -> None:
    row = shrunk(read_row(name))
    state = published_of(row)
    config = converted(row, state, tmp_path)
    pixels = pixels_of(row)
    theirs = efficientnet_map(
        state["model"], images_of(pixels, row), width=0.5, depth=0.1, nominal_px=SMALL_NOMINAL_PX
    ).mean(dim=(2, 3))
    ours = load_encoder(config).encode(pixels, max_value=255.0)
    np.testing.assert_allclose(ours, unit_rows(theirs), atol=5e-4)
    assert np.linalg.norm(unit_rows(theirs)[0] - unit_rows(theirs)[1]) > 0.1
    weight, bias = (state["model"][f"image_projection.projection.{part}"] for part in ("weight", "bias"))
    projected = load_encoder(replace(config, output="projected", dim=PROJECTION)).encode(pixels, max_value=255.0)
    np.testing.assert_allclose(projected, unit_rows(theirs @ weight.T + bias), atol=5e-4)


@pytest.mark.parametrize(("name", "nominal_px"), [("mammo-clip-b2", 260), ("mammo-clip-b5", 456)])
def test_mammo_clip_at_its_own_width_is_the_same_network(name: str, nominal_px: int, tmp_path: Path) -> None:
    row = replace(read_row(name), input_size_px=96, batch_size=1)
    shape = row.architecture or {}
    width, depth = shape["width_coefficient"], shape["depth_coefficient"]
    state = random_efficientnet(width=width, depth=depth, projection=512, seed=4)
    config = converted(row, {"model": state}, tmp_path)
    pixels = pixels_of(row, count=1)
    theirs = efficientnet_map(state, images_of(pixels, row), width=width, depth=depth, nominal_px=nominal_px)
    np.testing.assert_allclose(
        load_encoder(config).encode(pixels, max_value=255.0), unit_rows(theirs.mean(dim=(2, 3))), atol=1e-3
    )


@pytest.mark.parametrize(("name", "nominal_px"), [("mammo-clip-b2", 260), ("mammo-clip-b5", 456)])
def test_shipped_padding_is_that_of_the_nominal_size(name: str, nominal_px: int) -> None:
    shape = read_row(name).architecture or {}
    size, even = -(-nominal_px // 2), []
    for place, (_, stride, *_) in enumerate(blocks_of(shape["width_coefficient"], shape["depth_coefficient"])):
        if stride == 2 and size % 2:
            even.append(place)
        size = -(-size // stride)
    assert shape["depthwise_padding"] == even


def test_padding_of_another_size_would_be_noticed(tmp_path: Path) -> None:
    row = shrunk(read_row("mammo-clip-b2"))
    state = published_of(row)
    config = converted(row, state, tmp_path)
    pixels = pixels_of(row)
    other = efficientnet_map(state["model"], images_of(pixels, row), width=0.5, depth=0.1, nominal_px=64)
    ours = load_encoder(config).encode(pixels, max_value=255.0)
    assert np.abs(ours - unit_rows(other.mean(dim=(2, 3)))).max() > 5e-3


class Metadata:
    """As a configuration library's own class in a published pickle."""

    def __init__(self) -> None:
        self.values = {"name": "tf_efficientnet_b5_ns-detect"}


def test_classes_of_a_pickle_are_neither_imported_nor_kept(tmp_path: Path) -> None:
    state = {"model": {"weight": torch.arange(3.0), "step": 7}, "config": Metadata(), "loss": np.float64(0.5)}
    torch.save(state, tmp_path / "file.tar")
    tensors = read_tensors(tmp_path / "file.tar", under="model")
    assert list(tensors) == ["weight"]
    assert torch.equal(tensors["weight"], torch.arange(3.0))


class Hostile:
    """Calls what it likes when it is unpickled."""

    def __init__(self, act: Callable[..., object], *args: object) -> None:
        self.act, self.args = act, args

    def __reduce__(self) -> tuple[Any, ...]:
        return self.act, self.args


def test_a_hostile_pickle_runs_nothing(tmp_path: Path) -> None:
    import os

    mark = tmp_path / "mark"
    for number, hostile in enumerate((Hostile(os.mkdir, str(mark)), Hostile(subprocess.call, ["mkdir", str(mark)]))):
        file = tmp_path / f"{number}.bin"
        torch.save({"visual": torch.ones(1), "more": hostile}, file)
        with contextlib.suppress(EncoderError):  # refused, or read without it: both are well
            assert list(read_tensors(file)) == ["visual"]
        assert not mark.exists()
        torch.load(file, weights_only=False)  # what it would have done
        assert mark.exists()
        mark.rmdir()


@pytest.mark.parametrize("content", [b"", b"no checkpoint at all"])
def test_a_file_that_is_no_checkpoint_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "file.bin").write_bytes(content)
    with pytest.raises(EncoderError, match=r"file.bin cannot be read as a checkpoint"):
        read_tensors(tmp_path / "file.bin")
    with pytest.raises(EncoderError, match="absent.bin cannot be read"):
        read_tensors(tmp_path / "absent.bin")


def test_the_file_of_another_encoder_is_refused(tmp_path: Path) -> None:
    state = published_of(shrunk(read_row("mammo-clip-b2")))
    with pytest.raises(EncoderError, match=r"no weights named visual.trunk"):
        converted(shrunk(read_row("biomedclip")), state, tmp_path)
    with pytest.raises(EncoderError, match=r"differs from its architecture in \d+ weights.*is it the file"):
        converted(read_row("mammo-clip-b2"), state, tmp_path)
    del state["model"]["image_encoder._bn1.running_mean"]
    with pytest.raises(EncoderError, match=r"in 1 weights, the first encoder.top_bn.running_mean: None in the file"):
        converted(shrunk(read_row("mammo-clip-b2")), state, tmp_path)
    assert not (tmp_path / "made").exists()


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    row = shrunk(read_row("biomedclip"))
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "letter.txt").write_text("mine")
    with pytest.raises(EncoderError, match="give a new or empty folder"):
        converted(row, published_of(row), tmp_path)
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["letter.txt"]


def test_an_encoder_that_needs_no_conversion_says_so(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="source None is not owner/model/path"):
        convert_checkpoint(read_row("dinov2-small"), published=tmp_path / "file.bin", folder=tmp_path / "made")


def test_the_same_file_is_always_the_same_weights_and_says_where_it_is_from(tmp_path: Path) -> None:
    row = shrunk(read_row("biomedclip"))
    first, second = (converted(row, published_of(row), tmp_path / name) for name in ("a", "b"))
    assert identity_of(first) == identity_of(second)
    assert "transformers_version" not in (tmp_path / "a" / "made" / "config.json").read_text()
    source = json.loads((tmp_path / "a" / "made" / "source.json").read_text())
    assert source["hub_id"] == "microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224"
    assert (source["path"], source["revision"]) == ("open_clip_pytorch_model.bin", row.revision)
    (tmp_path / "b" / "made" / "projection.safetensors").unlink()
    cls = replace(second, output="cls", dim=32)
    assert identity_of(cls)["weights"] != identity_of(first)["weights"]
    with pytest.raises(EncoderError, match=r"has no output 'projected'; use one of \['cls'"):
        load_encoder(second)


@pytest.mark.slow
def test_the_job_converts_and_says_how_to_use_it(tmp_path: Path) -> None:
    row = shrunk(read_row("biomedclip"))
    torch.save(published_of(row), tmp_path / "published.bin")
    words = ["--encoder", "biomedclip", "--file", str(tmp_path / "published.bin"), "--folder", str(tmp_path / "made")]
    for key in ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "image_size"):
        words += ["--set", f"encoder.architecture.{key}={(row.architecture or {})[key]}"]
    job = [sys.executable, "jobs/convert_checkpoint.py", *words]
    answer = subprocess.run(job, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines()[-1].endswith(f"--set encoder.checkpoint={tmp_path}/made")
    assert load_encoder(replace(row, checkpoint=str(tmp_path / "made"))).config.dim == PROJECTION
