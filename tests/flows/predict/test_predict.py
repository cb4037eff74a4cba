"""Scores of stored breasts: right, complete, flagged, written once, and refused where they could not be trusted."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import lance
import numpy as np
import pyarrow as pa
import pytest
from tests.conftest import read_csv
from tests.flows.conftest import MakeSettings

from tilebank.errors import ConfigError, HeadError, StoreError, TrackingError
from tilebank.flows.champion.card import HeadCard
from tilebank.flows.champion.load import ChosenHead, choose_head
from tilebank.flows.predict import rows as predict_rows
from tilebank.flows.predict.predict import PredictRequest, predict
from tilebank.flows.settings.choices import Choices
from tilebank.flows.settings.settings import Settings
from tilebank.flows.study.study import open_reader
from tilebank.mil.bags.bags import BagBatch
from tilebank.mil.contract.outputs import Outputs
from tilebank.mil.heads.dual_stream import DualStreamConfig
from tilebank.mil.heads.registry import build_head, save_head, score_bags
from tilebank.store.schema import instances_schema
from tilebank.store.tables import Store
from tilebank.terms import FailureRow

TILES = 4  # of each image
EXAMS = 6
LICENCE = {"licence": "CC0-1.0", "redistributable": "true"}


def views_of(exam: int, side: str) -> tuple[str, ...]:
    """Both standard views, but for exam 1 (left breast without MLO) and exam 2 (right breast without CC)."""
    return {(1, "L"): ("CC",), (2, "R"): ("ML", "MLO")}.get((exam, side), ("CC", "MLO"))


def toy_rows(settings: Settings) -> pa.Table:
    rng, rows = np.random.default_rng(0), []
    for exam in range(EXAMS):
        for side in "LR":
            for view in views_of(exam, side):
                for place in range(TILES + 1):
                    image = f"{exam}.{side}.{view}"
                    rows.append(
                        {"instance_id": f"{image}#{place}", "image_id": image, "breast_id": f"E{exam}_{side}"}
                        | {"exam_id": f"E{exam}", "patient_id": f"P{exam // 2}", "laterality": side, "view": view}
                        | {"kind": "tile" if place else "view", "x": 100 * place, "y": 7, "width": 100, "height": 90}
                        | {"tissue_fraction": 1.0, "flipped": False, "fingerprint": settings.fingerprint}
                        | {"vector": rng.normal(size=settings.encoder.dim).astype(np.float16)}
                        | {"image_kind": "ffdm", "special": ""}
                    )
    return pa.Table.from_pylist(rows, schema=instances_schema(settings.encoder.dim))


@dataclass(frozen=True)
class Study:
    """A stored study of six exams, and a head in a folder that was fitted on it."""

    settings: Settings
    head: Path
    threshold: float

    @property
    def choices(self) -> Choices:
        return Choices(dataset="", encoder="", store=self.settings.store, tracking=self.settings.tracking)

    def choose(self, *pairs: str, head: str = "", **said: str) -> ChosenHead:
        return choose_head(replace(self.choices, set=pairs), head=head or str(self.head), **{"task": ""} | said)

    def card(self, **changes: object) -> HeadCard:
        found = {"threshold": repr(self.threshold), "threshold_rule": "as a test has it"}
        card = HeadCard.of_settings(self.settings, task="mass", fingerprint=self.settings.fingerprint, found=found)
        return replace(card, **changes)


@pytest.fixture
def study(settings_for: MakeSettings, tmp_path: Path) -> Study:
    settings = settings_for("dataset.intake.views=[]").model_copy(update={"tracking": f"sqlite:///{tmp_path}/no.db"})
    table = Store(settings.store).open_instances("phantom", "texture", dim=settings.encoder.dim, licence=LICENCE)
    table.commit(toy_rows(settings))
    head = build_head(DualStreamConfig(), dim=settings.encoder.dim, seeds=[3])
    study = Study(settings, tmp_path / "head", float(np.median(direct_scores(head, settings))))
    save_head(head, study.head, metadata=study.card().as_metadata())
    splits = [{"dataset": "phantom", "task": "mass", "scheme": settings.splits.scheme, "seed": 0}] * 2
    named = [{"patient_id": "P0", "split": "train"}, {"patient_id": "P1", "split": "test"}]
    rows = [each | name for each, name in zip(splits, named, strict=True)]
    Store(settings.store).write_splits("phantom", rows, licence=LICENCE)
    return study


def direct_scores(head: object, settings: Settings) -> np.ndarray:
    """What the head gives all breasts at once, by breast_id."""
    reader = open_reader(settings)
    bags = reader.read_bags([breast.breast_id for breast in reader.read_breasts()])
    return score_bags(head, BagBatch.from_arrays(**vars(bags)))[0]


def test_every_breast_is_scored_as_the_head_scores_it_however_few_are_read_at_once(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict_rows, "AT_ONCE", 5)
    chosen = study.choose("dataset.intake.views=[]")
    summary = predict(chosen, PredictRequest(tmp_path / "out" / "scores.csv"))
    rows = read_csv(tmp_path / "out" / "scores.csv")
    expected = direct_scores(chosen.head, study.settings)
    assert [row["breast_id"] for row in rows] == [f"E{exam}_{side}" for exam in range(EXAMS) for side in "LR"]
    np.testing.assert_allclose([float(row["score"]) for row in rows], expected, atol=1e-6)
    decided = [int(row["at_or_above_threshold"]) for row in rows]
    assert decided == [int(score >= study.threshold) for score in expected]
    assert sum(decided) == summary.tally.at_or_above == EXAMS
    assert {row["patient_id"]: row["split"] for row in rows} == {"P0": "train", "P1": "test", "P2": ""}
    flags = {row["breast_id"]: (row["views"], row["flag"]) for row in rows if row["flag"]}
    assert flags == {"E1_L": ("CC", "misses MLO"), "E2_R": ("ML MLO", "misses CC")}
    assert summary.tally.flags["misses CC"] == 1


def test_top_tiles_are_the_highest_attention_with_their_boxes(study: Study, tmp_path: Path) -> None:
    chosen = study.choose("dataset.intake.views=[]")
    predict(chosen, PredictRequest(tmp_path / "s.csv", top_tiles=3))
    tiles = read_csv(tmp_path / "s.tiles.csv")
    reader = open_reader(study.settings)
    bags = BagBatch.from_arrays(**vars(reader.read_bags(["E0_R"])))
    weights = chosen.head.attention(bags)[0].detach().numpy()  # by image, then y, then x: CC's four tiles, MLO's four
    wanted = [(f"0.R.{('CC', 'MLO')[row // TILES]}", 100 * (row % TILES + 1)) for row in np.argsort(-weights)[:3]]
    of_breast = [row for row in tiles if row["breast_id"] == "E0_R"]
    assert [(row["image_id"], int(row["x"])) for row in of_breast] == wanted
    assert [row["rank"] for row in of_breast] == ["1", "2", "3"]
    assert {(row["y"], row["width"], row["height"]) for row in tiles} == {("7", "100", "90")}
    np.testing.assert_allclose([float(row["attention"]) for row in of_breast], np.sort(weights)[::-1][:3], rtol=1e-5)


def test_scores_of_a_dataset_stand_in_its_table_once_beside_those_of_the_search(study: Study, tmp_path: Path) -> None:
    searched = {"breast_id": "E0_L", "exam_id": "E0", "patient_id": "P0", "task": "mass", "split": "val", "label": 1}
    store = Store(study.settings.store)
    searched |= {"score": 0.5, "head": "dual_stream", "run_id": "r1", "fingerprint": "f"}
    store.write_predictions("phantom", "texture", [searched], licence=LICENCE)
    for _ in range(2):
        predict(study.choose("dataset.intake.views=[]"), PredictRequest(tmp_path / "s.csv"))
    rows = lance.dataset(f"{store.uri}/predictions--phantom--texture.lance").to_table().to_pylist()
    ours = [row for row in rows if row["run_id"] == "predict--head"]
    assert len(rows) == 1 + len(ours) == 1 + 2 * EXAMS
    assert {row["label"] for row in ours} == {None}, "no truth is joined to a prediction"
    assert {row["split"] for row in ours} == {"train", "test", ""}


def test_the_threshold_its_meaning_and_the_warning_are_said(study: Study, tmp_path: Path) -> None:
    summary = predict(study.choose("dataset.intake.views=[]"), PredictRequest(tmp_path / "s.csv"))
    about = json.loads((tmp_path / "s.json").read_text())
    for text in (summary.as_text(), json.dumps(about)):
        assert "Research software, not a medical device." in text
        assert f"{study.threshold:.5f}: as a test has it" in text
        assert "AUC" not in text, "no figure is computed from labels"
    assert about["breasts"] == 2 * EXAMS
    assert about["splits"] == {"train": 4, "test": 4}


def test_images_that_were_refused_are_listed_with_their_file_and_reason(study: Study, tmp_path: Path) -> None:
    table = Store(study.settings.store).find_instances("phantom", "texture")
    uri = f"{study.settings.dataset.root}/below/bad.dcm"
    failure = FailureRow("i9", uri, "decode", "Crash", "the decoder crashed")
    table.commit_failures([vars(failure) | {"fingerprint": study.settings.fingerprint}])
    pairs = ("dataset.intake.views=[]", f"dataset.root={study.settings.dataset.root}")
    summary = predict(study.choose(*pairs), PredictRequest(tmp_path / "s.csv"))
    (row,) = read_csv(tmp_path / "s.refused.csv")
    assert (row["image_id"], row["file"], row["stage"]) == ("i9", "below/bad.dcm", "decode")
    assert "1 x decode: the decoder crashed" in summary.as_text()


def test_one_exam_is_scored_alone_and_leaves_the_table_alone(study: Study, tmp_path: Path) -> None:
    summary = predict(study.choose(), PredictRequest(tmp_path / "s.csv", exams=("E1",)))
    assert [row["breast_id"] for row in read_csv(tmp_path / "s.csv")] == ["E1_L", "E1_R"]
    assert not Path(f"{study.settings.store}/predictions--phantom--texture.lance").exists()
    assert "E1_L" in summary.as_text()
    assert "(misses MLO)" in summary.as_text()
    assert not (tmp_path / "s.refused.csv").exists(), "failures are those of the whole dataset"


def test_a_head_without_attention_or_threshold_says_so(study: Study, tmp_path: Path) -> None:
    head = build_head(DualStreamConfig(tile_pooling="max"), dim=study.settings.encoder.dim, seeds=[0])
    save_head(head, tmp_path / "max", metadata=study.card(threshold=None, threshold_rule="").as_metadata())
    summary = predict(study.choose(head=str(tmp_path / "max")), PredictRequest(tmp_path / "s.csv"))
    assert read_csv(tmp_path / "s.tiles.csv") == []
    assert {row["at_or_above_threshold"] for row in read_csv(tmp_path / "s.csv")} == {""}
    assert "none: this dual_stream head pools tiles by max" in summary.as_text()
    assert "gives no threshold" in summary.as_text()


def test_a_head_of_classes_has_a_score_for_each(study: Study, tmp_path: Path) -> None:
    outputs = Outputs("multiclass", 4)
    head = build_head(DualStreamConfig(), dim=study.settings.encoder.dim, seeds=[0], outputs=outputs)
    save_head(head, tmp_path / "four", metadata=study.card(task="density", threshold=None).as_metadata())
    predict(study.choose(head=str(tmp_path / "four")), PredictRequest(tmp_path / "s.csv", exams=("E0",)))
    rows = read_csv(tmp_path / "s.csv")
    sums = [sum(float(row[f"score_{answer}"]) for answer in range(4)) for row in rows]
    assert sums == pytest.approx([1, 1])
    assert "score" not in rows[0]


def test_a_head_of_another_dataset_scores_vectors_made_alike_and_knows_none_of_its_splits(
    study: Study, tmp_path: Path
) -> None:
    foreign = study.card(dataset="vindr", fingerprint="0123456789abcdef")
    save_head(study.choose().head, tmp_path / "foreign", metadata=foreign.as_metadata())
    choices = replace(study.choices, dataset="phantom")
    chosen = choose_head(choices, head=str(tmp_path / "foreign"), task="")
    predict(chosen, PredictRequest(tmp_path / "s.csv"))
    rows = read_csv(tmp_path / "s.csv")
    assert {row["split"] for row in rows} == {""}
    np.testing.assert_allclose(float(rows[0]["score"]), direct_scores(chosen.head, study.settings)[0])


def wrong_heads(study: Study, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """A head's folder, and what must be said of it."""
    dim = study.settings.encoder.dim
    for name, head, card in (
        ("other dim", build_head(DualStreamConfig(), dim=dim + 1, seeds=[0]), study.card()),
        ("pack", build_head(DualStreamConfig(), dim=dim, seeds=[0, 1]), study.card()),
        ("bare", build_head(DualStreamConfig(), dim=dim, seeds=[0]), study.card(encoder="", task="")),
    ):
        save_head(head, tmp_path / name, metadata=card.as_metadata())
    yield str(tmp_path / "other dim"), f"reads vectors of {dim + 1} numbers, the encoder texture gives {dim}"
    yield str(tmp_path / "pack"), "is a pack of 2"
    yield str(tmp_path / "bare"), "does not say its task, encoder"
    yield str(tmp_path / "nowhere"), "pass a folder written by save_head"


def test_heads_that_cannot_score_are_refused_with_the_reason(study: Study, tmp_path: Path) -> None:
    for head, said in wrong_heads(study, tmp_path):
        with pytest.raises(HeadError, match=said):
            study.choose(head=head)
    with pytest.raises(TrackingError, match="there is no run record at sqlite"):
        study.choose(head="phantom--mass--texture")
    assert not (tmp_path / "no.db").exists(), "looking for a head makes no database"


def test_choices_that_contradict_the_head_are_refused(study: Study) -> None:
    with pytest.raises(HeadError, match="is for mass, --task says malignancy"):
        study.choose(task="malignancy")
    with pytest.raises(HeadError, match="is for texture, --encoder says dinov2-small"):
        choose_head(replace(study.choices, encoder="dinov2-small"), head=str(study.head), task="")
    with pytest.raises(HeadError, match="tiling.overlap is 0.0 for the head, 0.5 here"):
        study.choose("tiling.overlap=0.5")
    with pytest.raises(ConfigError, match="name the head for the folder with --head"):
        choose_head(study.choices, head="", task="", folder="/dicoms")


def test_vectors_that_are_not_stored_as_the_head_needs_them_are_refused_by_both_fingerprints(
    study: Study, tmp_path: Path, settings_for: MakeSettings
) -> None:
    other = replace(study, settings=settings_for("tiling.overlap=0.5"))
    save_head(study.choose().head, tmp_path / "other", metadata=other.card().as_metadata())
    with pytest.raises(StoreError) as caught:
        predict(study.choose(head=str(tmp_path / "other")), PredictRequest(tmp_path / "s.csv"))
    assert study.settings.fingerprint in str(caught.value)
    assert other.settings.fingerprint in str(caught.value)


def test_what_cannot_be_done_is_said_before_anything_is_written(study: Study, tmp_path: Path) -> None:
    chosen = study.choose()
    (tmp_path / "file").write_text("in the way")
    for out, said in (("s.txt", "does not end in .csv"), ("file/s.csv", "cannot write --out")):
        with pytest.raises(ConfigError, match=said):
            predict(chosen, PredictRequest(tmp_path / out))
    with pytest.raises(ConfigError, match="--exam picks stored exams"):
        predict(chosen, PredictRequest(tmp_path / "s.csv", from_folder=True, exams=("E1",)))
    with pytest.raises(StoreError, match="is stored for 2 of the exams, such as E77, E88; exam ids look like E0"):
        predict(chosen, PredictRequest(tmp_path / "s.csv", exams=("E88", "E1", "E77")))
    with pytest.raises(StoreError, match="dataset.intake leaves out every stored image"):
        predict(study.choose("dataset.intake.views=[LM]"), PredictRequest(tmp_path / "s.csv"))
    assert not list(tmp_path.glob("s.*"))
