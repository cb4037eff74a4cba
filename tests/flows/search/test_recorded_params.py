"""What a run says of its head: every setting, those of its parts too, each under one flat key."""

from tilebank.flows.search.record import params_of
from tilebank.flows.settings.choices import Choices
from tilebank.flows.settings.settings import load_settings


def test_settings_of_a_head_s_parts_are_recorded_flat() -> None:
    params = params_of(load_settings(Choices(head="asmil", set=("head.anchor.momentum=0.9",))))
    assert {key: value for key, value in params.items() if key.startswith("head.anchor")} == {
        "head.anchor.weight": 1.0,
        "head.anchor.temperature": 1.0,
        "head.anchor.momentum": 0.9,
        "head.anchor.target": "nsf",
    }
    assert params["head.name"] == "asmil"
    assert params["fit.patience"] == 20
    assert params_of(load_settings(Choices(head="asmil", set=("head.anchor=null",))))["head.anchor"] is None
