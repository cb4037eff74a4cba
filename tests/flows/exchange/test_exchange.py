"""What an exchange asks for, and what it says in the end."""

import json
from pathlib import Path

import pytest
from tests.flows.conftest import MakeStudy
from tests.flows.feature_studies import SLIDES, brought_in, handed_out
from tests.foreign_features import write_clam

from tilebank.errors import ConfigError, DatasetError, StoreError
from tilebank.flows.exchange.exchange import exchange
from tilebank.flows.exchange.request import Request
from tilebank.flows.extract.extract import extract
from tilebank.flows.study.study import open_study


def test_what_is_not_said_or_does_not_fit_together_is_asked_for(study: MakeStudy, tmp_path: Path) -> None:
    settings = study(tmp_path)
    with pytest.raises(ConfigError, match="import needs --from LAYOUT, one of trident, clam, stamp, torchmil, h5"):
        exchange(settings, Request("import"))
    with pytest.raises(ConfigError, match="export needs --to LAYOUT, one of clam, trident, parquet, hf, and --out"):
        exchange(settings, Request("export", target="clam"))
    with pytest.raises(ConfigError, match="dataset 'phantom' is read from its images"):
        exchange(study(tmp_path, dataset="phantom", encoder="texture"), Request("import", source="clam"))
    with pytest.raises(StoreError, match=r"holds no vectors of dataset 'features' and encoder 'uni'; bring them in"):
        open_study(settings, task="label")
    with pytest.raises(DatasetError, match="has no images, only features made by another tool"):
        extract(settings)
    assert not Path(settings.store).exists()
    with pytest.raises(ConfigError, match="name the encoder that made the features with --encoder"):
        exchange(study(tmp_path, encoder="texture"), Request("import", source="clam"))
    for name in ("a--b", "a/b"):
        with pytest.raises(ConfigError, match="an encoder that ran elsewhere is named in letters"):
            study(tmp_path, encoder=name)


def test_a_summary_is_json(study: MakeStudy, tmp_path: Path) -> None:
    settings = study(write_clam(tmp_path / "in", SLIDES))
    summary = json.loads(json.dumps(brought_in(settings, "clam").as_dict()))
    assert summary["plan"]["slides"] == 30
    assert summary["rounding"]["changed"] > 0
    written = json.loads(json.dumps(handed_out(settings, "clam", tmp_path / "out").as_dict()))
    assert written["card"]["tilebank_task"] == "label"
    assert Path(written["out"]).is_dir()
