"""Configuration: precedence, and messages that say what, where and what to do."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tilebank.config import known_names
from tilebank.errors import ConfigError
from tilebank.flows.settings.choices import Choices
from tilebank.flows.settings.settings import Settings, load_settings, resolve_settings


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILEBANK_HOME", str(tmp_path / "home"))
    for name in ("STORE", "TRACKING", "ARTIFACTS", "CONF"):
        monkeypatch.delenv(f"TILEBANK_{name}", raising=False)


def load(*pairs: str) -> Settings:
    return load_settings(Choices(set=pairs))


@pytest.mark.parametrize(
    ("kind", "flag"), [("datasets", "dataset"), ("encoders", "encoder"), ("heads", "head"), ("searches", "search")]
)
def test_every_file_in_conf_is_valid(kind: str, flag: str) -> None:
    assert known_names(kind), f"conf/{kind} holds files"
    for name in known_names(kind):
        assert isinstance(load_settings(replace(Choices(), **{flag: name})), Settings)


def test_roots_come_from_conf_then_environment_then_flag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load().store == f"{tmp_path}/home/store"
    assert load().tracking == f"sqlite:///{tmp_path}/home/mlflow.db"
    assert load().dataset.root == f"{tmp_path}/home/phantom"
    monkeypatch.setenv("TILEBANK_STORE", "s3://bucket/store")
    assert load().store == "s3://bucket/store"
    assert load_settings(Choices(store=str(tmp_path / "mine"))).store == f"{tmp_path}/mine"
    assert load_settings(Choices(tracking="http://127.0.0.1:5000")).tracking == "http://127.0.0.1:5000"


def test_relative_flags_are_taken_from_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf").symlink_to(Path(__file__).parents[1] / "conf")
    monkeypatch.chdir(tmp_path)
    settings = load_settings(Choices(root="images", store="tables", set=("dataset.labels=truth.csv",)))
    assert settings.dataset.root == f"{tmp_path}/images"
    assert settings.store == f"{tmp_path}/tables"


@pytest.mark.parametrize(
    ("pair", "says"),
    [
        ("tiling.overlpa=0.5", r"--set tiling.overlpa=0.5: unknown key 'tiling.overlpa' \(did you mean 'overlap'\?\)"),
        ("search.fit.patiense=3", r"--set .*unknown key 'search.fit.patiense' \(did you mean 'patience'\?\)"),
        ("tilling.overlap=0.5", r"unknown key 'tilling' \(did you mean 'tiling'\?\)"),
        (
            "head.latend=4",
            r"--set head.latend=4: unknown key 'head.latend' \(did you mean 'latent'\?\); known",
        ),
        ("head.name=abmill", r"'head.name' is 'abmill' \(did you mean 'abmil'\?\); choose one of abmil, .*dual_stream"),
        ("head.name=abmil", r"conf/heads/dual_stream.yaml: unknown key 'head.latent'.*known here: .*attention, gated"),
        ("head.hidden=0", r"widths hidden=0, latent=8 must be positive"),
        ("head.hidden=wide", r"--set head.hidden=wide: 'head.hidden' is 'wide'"),
        ("tiling.overlap=lots", r"--set tiling.overlap=lots: 'tiling.overlap' is 'lots'"),
        ("tiling.overlap=1.5", r"overlap and min_tissue_fraction must be at least 0 and below 1"),
        ("tiling.overlap", "is not key=value"),
    ],
)
def test_a_wrong_override_names_key_and_nearest(pair: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load(pair)


@pytest.mark.parametrize(
    ("pair", "says"),
    [
        (
            "head.anchor.wieght=2",
            r"unknown key 'head.anchor.wieght' \(did you mean 'weight'\?\); known here: momentum, target",
        ),
        ("head.anchor.momentum=2", r"momentum 2.0 from 0 to 1"),
        ("head.anchor=strong", r"'head.anchor' is 'strong'"),
        ("head.latent=8", r"unknown key 'head.latent'.*known here: anchor, as_released"),
    ],
)
def test_a_part_of_a_head_is_checked_as_the_head_is(pair: str, says: str) -> None:
    assert load_settings(Choices(head="asmil", set=("head.anchor=null",)))
    with pytest.raises(ConfigError, match=says):
        load_settings(Choices(head="asmil", set=(pair,)))


def write_conf(folder: Path, file: str, text: str) -> Path:
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_file_of_the_user_is_laid_over_ours_key_by_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    conf = tmp_path / "mine"
    monkeypatch.setenv("TILEBANK_CONF", str(conf))
    dataset = write_conf(conf, "datasets/rsna.yaml", "root: s3://bucket/rsna\nintake: {views: [CC]}\n")
    write_conf(conf, "platform.yaml", "tiling: {overlap: 0.5}\nhome: data\n")
    monkeypatch.delenv("TILEBANK_HOME")
    settings, sources = resolve_settings(Choices(dataset="rsna"))
    ours = load_settings(Choices(dataset="vindr"))
    assert settings.dataset.root == "s3://bucket/rsna"
    assert (settings.dataset.intake.views, settings.dataset.intake.kinds) == (("CC",), ("ffdm",))
    assert settings.dataset.licence.startswith("RSNA"), "what the user does not say stays as ours says"
    assert (settings.tiling.overlap, settings.tiling.flip_to_left) == (0.5, True)
    assert settings.home == str(tmp_path / "data"), "from the folder around the conf that says it"
    assert sources["dataset.root"] == sources["dataset.intake.views"] == str(dataset)
    assert sources["dataset.intake.kinds"] == "conf/datasets/rsna.yaml"
    assert ours.tiling.overlap == 0.5


def test_a_new_file_of_the_user_is_a_new_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_conf(tmp_path / "conf", "datasets/mystudy.yaml", "adapter: folder\nlicence: own\nredistributable: false\n")
    assert {"mystudy", "rsna"} <= set(known_names("datasets"))
    with pytest.raises(ConfigError, match=rf"{tmp_path}/conf/datasets/mystudy.yaml: key 'dataset.root' is missing"):
        load_settings(Choices(dataset="mystudy"))
    assert load_settings(Choices(dataset="mystudy", root="x")).dataset.root == f"{tmp_path}/x"
    monkeypatch.setenv("TILEBANK_CONF", str(tmp_path / "conf"))
    monkeypatch.chdir("/")
    assert "mystudy" in known_names("datasets")
    monkeypatch.setenv("TILEBANK_CONF", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="TILEBANK_CONF is .*/none, which is not a folder"):
        known_names("datasets")


def test_searches_heads_and_encoders_mean_what_they_meant_when_every_file_named_every_value() -> None:
    pinned = json.loads((Path(__file__).parent / "golden" / "resolved_conf.json").read_text())
    flags = {"searches": "search", "heads": "head", "encoders": "encoder"}
    for kind, flag in flags.items():
        for name, values in pinned[kind].items():
            settings = load_settings(replace(Choices(), **{flag: name}))
            assert settings.model_dump(mode="json")[flag] == values, f"{kind}/{name}"


def test_an_unknown_key_in_a_file_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    conf = tmp_path / "conf"
    shutil.copytree(Path(__file__).parents[1] / "conf", conf)
    path = conf / "datasets" / "phantom.yaml"
    path.write_text(path.read_text() + "licnece: MIT\n")
    monkeypatch.setenv("TILEBANK_CONF", str(conf))
    with pytest.raises(
        ConfigError, match=r"conf/datasets/phantom.yaml: unknown key 'dataset.licnece' \(did you mean 'licence'"
    ):
        load()


def test_an_unknown_name_lists_the_known_ones() -> None:
    known = ", ".join(known_names("datasets"))
    assert "cbis, cmmd" in known
    with pytest.raises(ConfigError, match=rf"unknown dataset 'phantm' \(did you mean 'phantom'\?\); known: {known}"):
        load_settings(Choices(dataset="phantm"))


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        load("tiling.overlpa=1", "search.trails=3")
    assert "tiling.overlpa" in str(caught.value)
    assert "search.trails" in str(caught.value)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load().store = "elsewhere"


def test_code_that_ray_unpacked_refuses_a_home_that_would_vanish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    unpacked = tmp_path / "runtime_resources" / "working_dir_files" / "pkg"
    shutil.copytree(Path(__file__).parents[1] / "conf", unpacked / "conf")
    monkeypatch.chdir(unpacked)
    monkeypatch.delenv("TILEBANK_HOME")
    with pytest.raises(ConfigError, match="set TILEBANK_HOME"):
        load()
    monkeypatch.setenv("TILEBANK_HOME", str(tmp_path / "kept"))
    assert load().store == f"{tmp_path}/kept/store"


def test_the_fingerprint_changes_with_what_shapes_a_vector_and_with_nothing_else() -> None:
    plain = load().fingerprint
    shaping = ["tiling.overlap=0.25", "mask.working_px=400", "tiling.flip_to_left=false"]
    for pair in shaping:
        assert load(pair).fingerprint != plain, pair
    for pair in ("extraction.commit_images=7", "encoder.batch_size=3", "search.trials=2", "splits.seed=9"):
        assert load(pair).fingerprint == plain, pair
    assert load_settings(Choices(encoder="dinov2-small")).fingerprint != plain
