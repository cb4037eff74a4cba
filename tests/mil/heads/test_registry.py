"""Cards of heads: those of an older version, and those that do not fit."""

import json

import pytest
import torch

from tilebank.errors import HeadError
from tilebank.mil.heads.dual_stream import DualStreamConfig
from tilebank.mil.heads.registry import build_head, load_head, save_head


def rewrite_card(folder, **changes):
    card = json.loads((folder / "head.json").read_text())
    card["config"] |= changes
    card["config"] = {key: value for key, value in card["config"].items() if value is not ...}
    del card["outputs"]
    (folder / "head.json").write_text(json.dumps(card))


def test_a_card_from_before_heads_had_settings_of_their_own_is_read(make_bags, tmp_path):
    head, bags = build_head(DualStreamConfig(tile_pooling="mean"), dim=6, seeds=[0]), make_bags(seed=0)
    save_head(head, tmp_path)
    rewrite_card(tmp_path, training=...)  # neither `training` nor `outputs` were there at first
    again = load_head(tmp_path).head
    assert again.config == head.config
    assert torch.equal(again(bags), head(bags))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"widht": 3}, r"DualStreamConfig has no settings \['widht'\], it knows \['anchor', 'hidden'"),
        ({"name": "triple"}, "no head named 'triple'"),
        ({"name": ...}, "does not fit the weights"),
        ({"latent": 4}, "does not fit the weights"),
    ],
)
def test_a_card_that_no_head_fits_is_refused(tmp_path, changes, message):
    save_head(build_head(DualStreamConfig(), dim=6, seeds=[0]), tmp_path)
    rewrite_card(tmp_path, **changes)
    with pytest.raises(HeadError, match=message):
        load_head(tmp_path)
