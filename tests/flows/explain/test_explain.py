"""Where a head looks: maps of overlapped tiles beside scores of the ordinary ones; errors name what is wrong."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import lance
import numpy as np
import pytest
from tests.conftest import read_csv
from tests.flows.conftest import MakeSettings
from tests.flows.stored_phantoms import copy_images

from tilebank.datasets.contract import Manifest
from tilebank.errors import ConfigError, DatasetError, HeadError, StoreError
from tilebank.flows.champion.card import HeadCard
from tilebank.flows.champion.load import ChosenHead, choose_head
from tilebank.flows.engine.pipelines import read_manifest
from tilebank.flows.explain.explain import explain
from tilebank.flows.explain.maps.scales import assert_mappable, at_map_scale
from tilebank.flows.explain.request import ExplainRequest
from tilebank.flows.predict.predict import PredictRequest, predict
from tilebank.flows.settings.choices import Choices
from tilebank.flows.settings.settings import Settings, load_settings
from tilebank.mil.heads.dual_stream import DualStreamConfig
from tilebank.mil.heads.registry import build_head, save_head

EXAMS = 2


@dataclass(frozen=True)
class Study:
    """Some exams of the phantoms and heads in folders that read their vectors."""

    settings: Settings
    heads: Path
    manifest: Manifest

    @property
    def exams(self) -> tuple[str, ...]:
        return tuple(sorted({row.exam_id for row in self.manifest.images}))

    def choose(self, name: str = "attention", *pairs: str, **said: str) -> ChosenHead:
        common = Choices(dataset="", encoder="", store=self.settings.store, tracking=self.settings.tracking)
        choices = replace(common, root=self.settings.dataset.root, set=("evaluation.replicates=50", *pairs))
        return choose_head(choices, head=str(self.heads / name), **{"task": ""} | said)


@pytest.fixture
def study(settings_for: MakeSettings, new_record: Callable[[Path], str], tmp_path: Path) -> Study:
    settings = settings_for().model_copy(update={"tracking": new_record(tmp_path / "record")})
    manifest = read_manifest(settings)
    exams = sorted({row.exam_id for row in manifest.images})[:EXAMS]
    card = HeadCard.of_settings(
        settings,
        task="mass",
        fingerprint=settings.fingerprint,
        found={"threshold": "0.5", "threshold_rule": "a test's"},
    )
    for pooling in ("attention", "max"):
        head = build_head(DualStreamConfig(tile_pooling=pooling), dim=settings.encoder.dim, seeds=[3])
        save_head(head, tmp_path / "heads" / pooling, metadata=card.as_metadata())
    images = tuple(row for row in manifest.images if row.exam_id in exams)
    return Study(settings, tmp_path / "heads", Manifest(images, ()))


@pytest.fixture
def stored(study: Study, phantom_store: Path, ray_session: None) -> Study:
    copy_images(phantom_store, study.settings, [row.image_id for row in study.manifest.images])
    return study


def fingerprints(settings: Settings) -> dict[str, int]:
    rows = lance.dataset(f"{settings.store}/instances--phantom--texture.lance").to_table(columns=["fingerprint"])
    return {row["values"]: row["counts"] for row in rows["fingerprint"].value_counts().to_pylist()}


@pytest.mark.slow
def test_stored_exams_are_mapped_scored_as_predict_scores_them_and_encoded_once(stored: Study, tmp_path: Path) -> None:
    chosen = stored.choose("attention", "explain.scales=[1.0,0.5]")
    request = ExplainRequest(tmp_path / "out", exams=stored.exams, maps=True)
    first = explain(chosen, request)
    assert (first.tally.exams, first.tally.images, first.failed) == (EXAMS, len(stored.manifest.images), False)
    assert first.run_id == "", "single exams are no study"

    predict(chosen, PredictRequest(tmp_path / "s.csv", exams=stored.exams))
    scores = {row["breast_id"]: float(row["score"]) for row in read_csv(tmp_path / "s.csv")}
    rows = read_csv(tmp_path / "out" / "breasts.csv")
    assert {row["breast_id"] for row in rows} == set(scores)
    for row in rows:
        assert float(row["score"]) == pytest.approx(scores[row["breast_id"]], abs=1e-6)
        bias = float(row["logit"]) - float(row["of_views"]) - float(row["of_tiles"])
        assert bias == pytest.approx(chosen.head.classifier.bias.item(), abs=1e-5), "streams and bias make the logit"

    shapes = {row.image_id: (512, 384) for row in stored.manifest.images}
    for row in read_csv(tmp_path / "out" / "boxes.csv"):
        x, y, width, height = (int(row[name]) for name in ("x", "y", "width", "height"))
        rows_px, columns_px = shapes[row["image_id"]]
        assert 0 <= x < x + width <= columns_px
        assert 0 <= y < y + height <= rows_px
        assert float(row["score"]) > 0
    pictures = {path.stem for path in (tmp_path / "out" / "figures").glob("*.png")}
    assert pictures == set(scores)
    assert "faithfulness" in first.as_text() or "by the map against at random" in first.as_text()
    assert (tmp_path / "out" / "explain.html").read_text().count(".png") >= len(pictures)

    kept = np.load(tmp_path / "out" / "maps" / f"{stored.manifest.images[0].image_id}.npz")
    assert kept["raw"].shape == (2, 512 // 16, 384 // 16)
    assert kept["unit"].min() >= 0
    assert kept["unit"].max() <= 1
    held = fingerprints(stored.settings)
    scales = [at_map_scale(chosen.settings, scale=scale).fingerprint for scale in (1.0, 0.5)]
    assert set(held) == {stored.settings.fingerprint, *scales}

    again = explain(chosen, request)
    assert [each.encoded for each in again.scales] == [0, 0]
    assert fingerprints(stored.settings) == held


@pytest.mark.slow
@pytest.mark.long
def test_a_study_is_recorded_with_figures_and_evidence_needs_no_attention(stored: Study, tmp_path: Path) -> None:
    chosen = stored.choose("max", "explain.map=evidence", "explain.exams_drawn=1")
    summary = explain(chosen, ExplainRequest(tmp_path / "out", boxes=True))
    assert summary.run_id
    assert len(summary.tally.drawn) == 1, "of a dataset the first exams alone are drawn"
    metrics = summary.figures.as_metrics()
    assert any(name.endswith("insertion_gap") for name in metrics) or "no interval" in summary.as_text()
    scores = [float(row["score"]) for row in read_csv(tmp_path / "out" / "boxes.csv")]
    assert scores
    assert np.isfinite(scores).all()


@pytest.mark.slow
@pytest.mark.long
def test_a_folder_is_explained_as_it_is_scored_and_leaves_nothing_in_the_store(stored: Study, tmp_path: Path) -> None:
    exam = stored.exams[0]
    folder = Path(next(row.uri for row in stored.manifest.images if row.exam_id == exam)).parent
    before = fingerprints(stored.settings)
    chosen = stored.choose("attention", folder=str(folder))
    summary = explain(chosen, ExplainRequest(tmp_path / "out", from_folder=True))
    assert summary.tally.images == sum(row.exam_id == exam for row in stored.manifest.images)
    predict(stored.choose(), PredictRequest(tmp_path / "s.csv", exams=(exam,)))
    scores = sorted(float(row["score"]) for row in read_csv(tmp_path / "s.csv"))
    found = sorted(float(row["score"]) for row in read_csv(tmp_path / "out" / "breasts.csv"))
    assert found == pytest.approx(scores, abs=1e-5)
    assert fingerprints(stored.settings) == before
    assert "no annotated boxes" in summary.as_text()


@pytest.mark.slow
def test_exams_and_boxes_that_are_not_there_are_named(stored: Study, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="such as E-unknown"):
        explain(stored.choose(), ExplainRequest(tmp_path / "out", exams=("E-unknown",)))
    with pytest.raises(DatasetError, match="no stored breast is in the test split"):
        explain(stored.choose(), ExplainRequest(tmp_path / "out", split="test"))
    folder = Path(stored.manifest.images[0].uri).parent
    with pytest.raises(DatasetError, match="no annotated boxes"):
        explain(stored.choose(folder=str(folder)), ExplainRequest(tmp_path / "out", from_folder=True, boxes=True))


def test_what_cannot_be_mapped_is_said_before_any_work(study: Study, tmp_path: Path) -> None:
    with pytest.raises(HeadError, match="pools tiles by max and has no attention.*--map evidence"):
        explain(study.choose("max"), ExplainRequest(tmp_path / "out"))
    (tmp_path / "taken").write_text("")
    with pytest.raises(ConfigError, match="is a file; name a folder"):
        explain(study.choose(), ExplainRequest(tmp_path / "taken"))
    with pytest.raises(ConfigError, match="--exam picks stored exams"):
        explain(study.choose(folder=str(tmp_path)), ExplainRequest(tmp_path / "out", True, exams=("E1",)))
    with pytest.raises(ConfigError, match="explain.scales"):
        study.choose("attention", "explain.scales=[0]")
    with pytest.raises(ConfigError, match="published lays its tiles in one fixed way"):
        assert_mappable(load_settings(Choices(set=("reader.intensity=published",))))
    with pytest.raises(ConfigError, match="were made elsewhere"):
        assert_mappable(load_settings(Choices(dataset="features", encoder="somebodys")))
    assert not (tmp_path / "out" / "boxes.csv").exists()
