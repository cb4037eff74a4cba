"""Searches of heads with several answers, from vectors to champion: classes (density) and labels (findings)."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import lance
import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from tests.flows.conftest import MakeSettings

from tilebank.errors import ConfigError, DatasetError
from tilebank.evaluation.multiclass import ClassEvaluation
from tilebank.evaluation.multilabel import LabelEvaluation
from tilebank.flows.search.tune import tune_head
from tilebank.flows.settings.settings import Settings
from tilebank.store.schema import instances_schema
from tilebank.store.tables import Store

PATIENTS = 96
KINDS = ("view", "tile", "tile")
Densities = Callable[[int], str]


def in_turn(patient: int) -> str:
    return "ABCD"[patient % 4]


def write_study(settings: Settings, labels: Path, *, density: Densities = in_turn) -> None:
    """One breast a patient; its density, mass and calcification shift a component of its vectors each."""
    rng, dim = np.random.default_rng(0), settings.encoder.dim
    rows, lines = [], ["breast_id,density,masses,calcifications"]
    for one in range(PATIENTS):
        mass, calcification = one // 4 % 2, one // 8 % 2
        lines.append(f"E{one}_L,{density(one)},{mass},{calcification}")
        for place, kind in enumerate(KINDS):
            vector = rng.normal(size=dim) * 0.1
            vector["ABCD".index(density(one))] += 2
            vector[4:6] += 2 * np.array([mass, calcification])
            ids = {"image_id": f"{one}.CC", "breast_id": f"E{one}_L", "exam_id": f"E{one}", "patient_id": f"P{one}"}
            rows.append(
                ids
                | {"instance_id": f"{one}.CC#{place}", "laterality": "L", "view": "CC", "kind": kind}
                | {"x": 0, "y": place, "width": 4, "height": 4, "tissue_fraction": 1.0, "flipped": False}
                | {"vector": vector.astype(np.float16), "fingerprint": settings.fingerprint}
                | {"image_kind": "ffdm", "special": ""}
            )
    labels.write_text("\n".join(lines) + "\n")
    table = Store(settings.store).open_instances("folder", "texture", dim=dim, licence=settings.licence)
    table.commit(pa.Table.from_pylist(rows, schema=instances_schema(dim)))


@pytest.fixture
def settings(settings_for: MakeSettings, tmp_path: Path) -> Settings:
    return settings_for(
        f"dataset.labels={tmp_path / 'labels.csv'}",
        "search.trials=2",
        "search.pack=2",
        "search.lr=0.02",
        "search.fit.max_epochs=30",
        "splits.val=0.25",
        "splits.test=0.25",
        "evaluation.replicates=200",
        dataset="folder",
        root=str(tmp_path),
    )


def predictions_of(settings: Settings, run_id: str) -> pd.DataFrame:
    table = lance.dataset(f"{settings.store}/predictions--folder--texture.lance").to_table().to_pandas()
    return table[table["run_id"] == run_id].reset_index(drop=True)


def served(settings: Settings, task: str, breasts: list[str]) -> pd.DataFrame:
    """What the champion in the registry gives these breasts."""
    table = lance.dataset(f"{settings.store}/instances--folder--texture.lance").to_table()
    instances = table.select(["breast_id", "kind", "vector"]).to_pandas()
    instances = instances[instances["breast_id"].isin(breasts)]
    instances["vector"] = [vector.astype(float).tolist() for vector in instances["vector"]]
    mlflow.set_tracking_uri(settings.tracking)
    answer = mlflow.pyfunc.load_model(f"models:/folder--{task}--texture@champion").predict(instances)
    return answer.set_index("breast_id").loc[breasts]


@pytest.mark.slow
def test_density_is_searched_evaluated_stored_and_served(
    settings: Settings, new_record: Callable[[Path], str], tmp_path: Path, ray_session: None
) -> None:
    new_record(tmp_path / "home")
    write_study(settings, tmp_path / "labels.csv")
    summary = tune_head(settings, task="density")
    found = summary.evaluation
    assert isinstance(found, ClassEvaluation)
    assert found.auc.value > 0.95
    assert found.val_auc == pytest.approx(max(summary.val_aucs))
    assert "quadratic kappa" in summary.as_text()

    rows = predictions_of(settings, summary.run_id)
    assert set(rows["split"]) == {"val", "test"}
    assert rows["score"].isna().all()
    scores = np.stack(rows["scores"])
    assert scores.shape == (48, 4)
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)
    test = (rows["split"] == "test").to_numpy()
    confusion = pd.crosstab(rows["label"][test], scores[test].argmax(axis=1)).reindex(columns=range(4), fill_value=0)
    assert confusion.to_numpy().tolist() == [list(row) for row in found.confusion]
    columns = [f"score_{place}" for place in range(4)]
    again = served(settings, "density", rows["breast_id"].tolist())[columns]
    np.testing.assert_allclose(again, scores, atol=1e-5)

    client = mlflow.MlflowClient(settings.tracking)
    run = client.get_run(summary.run_id)
    assert run.data.metrics["test_macro_auc"] == found.auc.value
    figures = {item.path for item in client.list_artifacts(summary.run_id, "figures")}
    assert figures == {f"figures/{name}.png" for name in ("roc", "confusion", "trials", "curves")}
    version = client.get_model_version_by_alias("folder--density--texture", "champion")
    assert float(version.tags["val_auc"]) == found.val_auc
    folder = Path(mlflow.artifacts.download_artifacts(version.source, tracking_uri=settings.tracking))
    card = json.loads(next(folder.rglob("head.json")).read_text())
    assert (card["metadata"]["answers"], card["outputs"]["kind"]) == ("A,B,C,D", "multiclass")

    control = settings.model_copy(update={"search": replace(settings.search, trials=1, shuffle_labels=True)})
    shuffled = tune_head(control, task="density")
    assert shuffled.registered == ""
    assert shuffled.evaluation.auc.value < found.auc.value
    assert predictions_of(settings, shuffled.run_id).empty


@pytest.mark.slow
@pytest.mark.long
def test_findings_are_searched_as_labels_of_their_own(
    settings: Settings, new_record: Callable[[Path], str], tmp_path: Path, ray_session: None
) -> None:
    new_record(tmp_path / "home")
    write_study(settings, tmp_path / "labels.csv")
    summary = tune_head(settings, task="findings")
    found = summary.evaluation
    assert isinstance(found, LabelEvaluation)
    assert list(found.labels) == ["mass", "calcification"]
    assert min(label.auc.value for label in found.labels.values()) > 0.9
    rows = predictions_of(settings, summary.run_id)
    scores = np.stack(rows["scores"])
    test = (rows["split"] == "test").to_numpy()
    for place, label in enumerate(found.labels.values()):
        positive = rows["label"].to_numpy() >> place & 1
        called = scores[test, place] >= label.at_sensitivity.threshold
        reached = called[positive[test] == 1].mean()
        assert reached == pytest.approx(label.sensitivity.value)
    again = served(settings, "findings", rows["breast_id"].tolist())[["score_0", "score_1"]]
    np.testing.assert_allclose(again, scores, atol=1e-5)
    client = mlflow.MlflowClient(settings.tracking)
    figures = {item.path for item in client.list_artifacts(summary.run_id, "figures")}
    names = ("roc", "calibration_mass", "calibration_calcification", "trials", "curves")
    assert figures == {f"figures/{name}.png" for name in names}


def test_a_class_that_a_split_lacks_is_told_before_anything_is_written(settings: Settings, tmp_path: Path) -> None:
    write_study(settings, tmp_path / "labels.csv", density=lambda one: "D" if one == 3 else "ABC"[one % 3])
    with pytest.raises(DatasetError, match=r"no breast of the \w+ split is D \("):
        tune_head(settings, task="density")
    assert not Path(settings.store, "labels--folder.lance").exists()
    assert not Path(settings.tracking.removeprefix("sqlite:///")).exists()


def test_a_weight_of_positives_is_refused_for_classes_before_any_work(settings: Settings) -> None:
    weighed = settings.model_copy(update={"search": replace(settings.search, positive_weight=3.0)})
    with pytest.raises(ConfigError, match="weigh classes with search.fit.class_weight"):
        tune_head(weighed, task="density")
