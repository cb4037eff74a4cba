"""A whole search on stored vectors: splits, packs, the record, and a champion that anyone can load."""

import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import lance
import mlflow
import numpy as np
import pandas as pd
import pytest
from tests.flows.conftest import MakeSettings

from tilebank.errors import ConfigError, DatasetError, StoreError
from tilebank.flows.champion.load import choose_head
from tilebank.flows.predict.predict import PredictRequest, predict
from tilebank.flows.search import tune as tune_flow
from tilebank.flows.search.packs import SearchFolder
from tilebank.flows.search.record import SearchSummary
from tilebank.flows.search.resume import folder_of
from tilebank.flows.search.trials import choose_champion, search_heads
from tilebank.flows.search.tune import forget_search, tune_head, tune_resumably
from tilebank.flows.settings.choices import Choices
from tilebank.flows.settings.search_space import Dimension
from tilebank.flows.settings.settings import Settings, load_settings
from tilebank.flows.study.labelled_bags import LabelledBags
from tilebank.flows.study.study import LabelledStudy, open_study
from tilebank.mil.fitting.fit import FittedHead
from tilebank.terms import Split

TRIALS = 6


@pytest.fixture(scope="module")
def searched(
    phantom_root: Path,
    phantom_store: Path,
    new_record: Callable[[Path], str],
    ray_session: None,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Settings, SearchSummary]:
    """One search of six heads on the small study, with its settings."""
    home = tmp_path_factory.mktemp("searched")
    shutil.copytree(phantom_store, home / "store")
    settings = load_settings(
        Choices(
            root=str(phantom_root),
            store=str(home / "store"),
            tracking=new_record(home),
            set=(
                f"artifacts={home}/artifacts",
                f"search.trials={TRIALS}",
                f"search.pack={TRIALS}",
                "search.fit.max_epochs=40",
                "splits.val=0.2",
                "evaluation.subgroup_patients=2",
            ),
        )
    )
    return settings, tune_head(settings, task="malignancy")


pytestmark = pytest.mark.slow


def test_labels_and_splits_are_stored_by_patient(searched: tuple[Settings, SearchSummary]) -> None:
    settings, _ = searched
    labels = lance.dataset(f"{settings.store}/labels--phantom.lance").to_table().to_pylist()
    splits = lance.dataset(f"{settings.store}/splits--phantom.lance").to_table().to_pylist()
    assert {row["stratum"] for row in labels} <= {"1", "4", "5"}
    assert all(row["label"] == (row["stratum"] != "1") for row in labels)
    assert len({row["patient_id"] for row in splits}) == len(splits)
    assert {row["patient_id"] for row in labels} == {row["patient_id"] for row in splits}
    assert set(Counter(row["split"] for row in splits)) == {"train", "val", "test"}


def test_the_run_holds_trials_curves_figures_and_what_the_vectors_were(
    searched: tuple[Settings, SearchSummary],
) -> None:
    settings, summary = searched
    client = mlflow.MlflowClient(settings.tracking)
    parent = client.get_run(summary.run_id)
    assert parent.info.status == "FINISHED"
    assert parent.data.tags["fingerprint"] == settings.fingerprint
    assert parent.data.tags["table_version"] == str(summary.table_version)
    assert parent.data.metrics["test_auc"] == pytest.approx(summary.evaluation.auc.value)
    assert parent.data.metrics["test_auc_low"] <= parent.data.metrics["test_auc_high"]
    figures = {item.path for item in client.list_artifacts(summary.run_id, "figures")}
    assert figures == {f"figures/{name}.png" for name in ("roc", "trials", "curves", "calibration", "subgroups")}

    experiment = client.get_experiment_by_name("phantom--malignancy")
    children = client.search_runs(
        [experiment.experiment_id], f"tags.`mlflow.parentRunId` = '{summary.run_id}'", max_results=100
    )
    assert sorted(int(child.data.params["seed"]) for child in children) == list(range(TRIALS))
    for child in children:
        assert not any(name.startswith("test") for name in child.data.metrics), "trials never see the test split"
        curve = client.get_metric_history(child.info.run_id, "val_auc")
        assert [point.step for point in curve] == list(range(1, len(curve) + 1))
        assert max(point.value for point in curve) == pytest.approx(child.data.metrics["best_val_auc"])
    assert summary.evaluation.val_auc == pytest.approx(max(summary.val_aucs))


def test_the_run_holds_one_report_of_its_champion_with_subgroups_and_provenance(
    searched: tuple[Settings, SearchSummary],
) -> None:
    settings, summary = searched
    client = mlflow.MlflowClient(settings.tracking)
    assert {"report.html", "evaluation.json"} <= {item.path for item in client.list_artifacts(summary.run_id)}
    folder = Path(mlflow.artifacts.download_artifacts(run_id=summary.run_id, tracking_uri=settings.tracking))
    found = json.loads((folder / "evaluation.json").read_text())
    assert found["evaluation"]["auc"]["value"] == summary.evaluation.auc.value
    assert found["provenance"]["fingerprint of the vectors"] == settings.fingerprint
    tests = summary.evaluation.test_counts.breasts
    for column in ("views", "vendor", "image kind", "density"):
        parts = [part for part in found["subgroups"] if part["column"] == column]
        assert sum(part["counts"]["breasts"] for part in parts) == tests
    page = (folder / "report.html").read_text()
    assert "Research software, not a medical device." in page
    assert settings.fingerprint in page
    assert "PH-0" not in page, "no patient, exam or breast id stands in the report"


def test_anyone_can_load_the_champion_without_tilebank_and_gets_the_same_scores(
    searched: tuple[Settings, SearchSummary], tmp_path: Path
) -> None:
    settings, summary = searched
    stored = lance.dataset(f"{settings.store}/predictions--phantom--texture.lance").to_table().to_pandas()
    test = stored[(stored["split"] == "test") & (stored["run_id"] == summary.run_id)]
    table = lance.dataset(f"{settings.store}/instances--phantom--texture.lance").to_table(
        columns=["breast_id", "kind", "vector"]
    )
    instances = table.to_pandas()
    instances = instances[instances["breast_id"].isin(test["breast_id"])]
    instances.assign(vector=instances["vector"].map(lambda vector: vector.astype(float).tolist())).to_json(
        tmp_path / "instances.json", orient="records"
    )
    script = """
import sys, json
sys.path = [path for path in sys.path if not path.rstrip("/").endswith("platform")]
try:
    import tilebank
    sys.exit("tilebank is installed here, this proves nothing")
except ImportError:
    pass
import mlflow, pandas as pd
mlflow.set_tracking_uri(sys.argv[1])
head = mlflow.pyfunc.load_model("models:/phantom--malignancy--texture@champion")
frame = pd.read_json(sys.argv[2], dtype={"breast_id": str})
print(head.predict(frame).to_json(orient="records"))
"""
    answer = subprocess.run(
        [sys.executable, "-c", script, settings.tracking, str(tmp_path / "instances.json")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert answer.returncode == 0, answer.stderr
    scores = pd.DataFrame(json.loads(answer.stdout)).set_index("breast_id")["score"]
    expected = test.set_index("breast_id")["score"]
    np.testing.assert_allclose(scores.loc[expected.index], expected, atol=1e-5)


def test_the_champion_scores_the_study_as_its_search_did_and_a_folder_as_the_study(
    searched: tuple[Settings, SearchSummary], phantom_root: Path, tmp_path: Path
) -> None:
    settings, _ = searched
    choices = Choices(dataset="", encoder="", store=settings.store, tracking=settings.tracking)
    champion = choose_head(choices, head="phantom--malignancy--texture", task="malignancy")
    summary = predict(champion, PredictRequest(tmp_path / "all.csv"))
    found = pd.read_csv(tmp_path / "all.csv").set_index("breast_id")
    stored = lance.dataset(f"{settings.store}/predictions--phantom--texture.lance").to_table().to_pandas()
    of_search = stored[stored["label"].notna()].set_index("breast_id")
    np.testing.assert_allclose(found.loc[of_search.index, "score"], of_search["score"], atol=1e-6)
    assert found.loc[of_search.index, "split"].tolist() == of_search["split"].tolist()
    assert len(found) == summary.tally.breasts == 60
    val = of_search[(of_search["split"] == "val") & (of_search["label"] == 1)]
    assert found.loc[val.index, "at_or_above_threshold"].mean() >= 0.9, "the threshold means what is said of it"

    (exam,) = (phantom_root / "PH-0001").iterdir()
    champion = choose_head(choices, head="phantom--malignancy--texture", task="", folder=str(exam))
    predict(champion, PredictRequest(tmp_path / "exam.csv", from_folder=True))
    by_file = pd.read_csv(tmp_path / "exam.csv").set_index("breast_id")["score"]
    assert sorted(by_file.index) == [f"{exam.name}_L", f"{exam.name}_R"]
    np.testing.assert_allclose(by_file, found.loc[by_file.index, "score"], atol=1e-4)


def test_the_registered_head_holds_no_pickle(searched: tuple[Settings, SearchSummary]) -> None:
    settings, summary = searched
    client = mlflow.MlflowClient(settings.tracking)
    version = client.get_model_version_by_alias("phantom--malignancy--texture", "champion")
    folder = Path(mlflow.artifacts.download_artifacts(version.source, tracking_uri=settings.tracking))
    names = [path.name for path in folder.rglob("*") if path.is_file()]
    assert {"head.safetensors", "head.json"} <= set(names)
    assert not [name for name in names if name.endswith((".pkl", ".pickle", ".pt", ".bin", ".pyc"))]
    card = json.loads(next(folder.rglob("head.json")).read_text())
    assert card["metadata"]["fingerprint"] == settings.fingerprint
    assert card["metadata"]["licence"] == "CC0-1.0"
    assert version.run_id == summary.run_id


def test_a_pack_of_all_equals_packs_of_one(searched: tuple[Settings, SearchSummary], tmp_path: Path) -> None:
    settings, summary = searched
    study = open_study(settings, task="malignancy")
    train, val = study.read(Split.TRAIN), study.read(Split.VAL)
    search = replace(settings.search, trials=3, pack=1)
    folder = SearchFolder(str(tmp_path / "alone"))
    alone = search_heads(settings.model_copy(update={"search": search}), train=train, val=val, folder=folder)
    assert [head.trial.seed for head in alone.fitted] == [0, 1, 2]
    np.testing.assert_allclose([head.best_val_auc for head in alone.fitted], summary.val_aucs[:3], atol=1e-6)


def test_the_parts_of_the_time_make_up_the_whole(searched: tuple[Settings, SearchSummary]) -> None:
    settings, summary = searched
    assert set(summary.times) == {"start", "read", "fit", "evaluate", "log"}
    assert 0.9 * summary.wall_s < sum(summary.times.values()) <= summary.wall_s
    logged = mlflow.MlflowClient(settings.tracking).get_run(summary.run_id).data.metrics
    assert {name: logged[f"{name}_s"] for name in summary.times} == summary.times
    assert "time: start " in summary.as_text()


def test_a_search_of_architectures_gives_the_champion_its_own_and_only_what_is_lost_is_fitted_again(
    searched: tuple[Settings, SearchSummary],
) -> None:
    settings, _ = searched
    space = {"hidden": Dimension(choices=(4, 24))}
    search = replace(settings.search, trials=4, pack=4, sampler="random", head_space=space)
    settings = settings.model_copy(update={"search": search})
    first = tune_resumably(settings, task="malignancy")
    packs = sorted(Path(folder_of(settings, first.search).uri).glob("pack-*.zip"))
    assert len(packs) == 2, "one of each architecture"
    packs[0].unlink()
    second = tune_resumably(settings, task="malignancy")
    forget_search(settings, second)
    assert (first.resumed, 0 < second.resumed < 4) == (0, True)
    same = ("run_id", "registered", "val_aucs", "drawn", "champion_seed")
    assert [getattr(first, name) for name in same] == [getattr(second, name) for name in same]

    client = mlflow.MlflowClient(settings.tracking)
    experiment = client.get_experiment_by_name("phantom--malignancy").experiment_id
    children = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{first.run_id}'")
    widths = {int(child.data.params["seed"]): int(child.data.params["head.hidden"]) for child in children}
    assert set(widths) == set(range(4))
    assert set(widths.values()) == {4, 24}
    assert first.drawn == {"head.hidden": widths[first.champion_seed]}
    assert f"seed {first.champion_seed}, head.hidden {first.drawn['head.hidden']}" in first.as_text()
    (version,) = client.search_model_versions(f"run_id = '{first.run_id}'")
    folder = Path(mlflow.artifacts.download_artifacts(version.source, tracking_uri=settings.tracking))
    card = json.loads(next(folder.rglob("head.json")).read_text())
    assert card["config"]["hidden"] == widths[first.champion_seed]


@pytest.fixture(scope="module")
def shuffled(searched: tuple[Settings, SearchSummary]) -> tuple[SearchSummary, list[str]]:
    """A search of one head on shuffled labels, and in which order it read the splits and chose its champion."""
    settings, _ = searched
    steps: list[str] = []
    read, choose = LabelledStudy.read, tune_flow.choose_champion

    def note_read(study: LabelledStudy, split: Split) -> LabelledBags:
        steps.append(split.value)
        return read(study, split)

    def note_choice(fitted: list[FittedHead]) -> int:
        steps.append("champion")
        return choose(fitted)

    search = replace(settings.search, trials=1, shuffle_labels=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LabelledStudy, "read", note_read)
        patch.setattr(tune_flow, "choose_champion", note_choice)
        return tune_head(settings.model_copy(update={"search": search}), task="malignancy"), steps


def test_shuffled_labels_register_nothing_and_are_tagged(
    searched: tuple[Settings, SearchSummary], shuffled: tuple[SearchSummary, list[str]]
) -> None:
    settings, first = searched
    summary, _ = shuffled
    client = mlflow.MlflowClient(settings.tracking)
    assert summary.registered == ""
    assert client.get_run(summary.run_id).data.tags["shuffled_labels"] == "true"
    assert client.get_model_version_by_alias("phantom--malignancy--texture", "champion").run_id == first.run_id


def test_the_test_split_is_read_once_the_champion_is_chosen(shuffled: tuple[SearchSummary, list[str]]) -> None:
    assert shuffled[1] == ["train", "val", "champion", "test"]


def test_the_champion_is_the_highest_validation_auc_then_the_surest() -> None:
    @dataclass
    class Fitted:
        best_val_auc: float
        best_epoch: int
        curves: dict

    loss = {"val_loss": np.array([0.9, 0.5, 0.7])}
    heads = [Fitted(0.8, 2, loss), Fitted(0.9, 1, loss), Fitted(0.9, 3, loss)]
    assert choose_champion(heads) == 2


def test_a_search_without_vectors_labels_or_task_says_what_to_do(
    searched: tuple[Settings, SearchSummary], settings_for: MakeSettings
) -> None:
    settings, _ = searched
    with pytest.raises(StoreError, match="tilebank extract --dataset phantom --encoder texture"):
        tune_head(settings_for(), task="malignancy")
    with pytest.raises(StoreError, match="holds no vector under the fingerprint"):
        tune_head(settings.model_copy(update={"tiling": replace(settings.tiling, overlap=0.5)}), task="malignancy")
    with pytest.raises(ConfigError, match="unknown task 'malignant'"):
        tune_head(settings, task="malignant")
    with pytest.raises(DatasetError, match="no usable column 'cancer'"):
        tune_head(settings, task="cancer")
