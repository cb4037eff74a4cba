"""Searches side by side: which are taken, on which breasts, in which order, and what is left behind."""

import csv
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import mlflow
import numpy as np
import pytest
from tests.flows.conftest import MakeSettings

from tilebank.errors import ConfigError, DatasetError, StoreError, TrackingError
from tilebank.evaluation.paired import compare_scores, holm_p_values
from tilebank.evaluation.report import Evaluation, evaluate
from tilebank.evaluation.scored import Scored
from tilebank.flows.compare import compare_searches
from tilebank.flows.compare_runs import Wanted
from tilebank.flows.compare_summary import MOVED, SPENT, ComparisonSummary, as_p
from tilebank.flows.extract import extract
from tilebank.flows.record import SearchSummary, tags_of
from tilebank.flows.settings import Choices, Settings, load_settings
from tilebank.flows.steadiness import OF_SEARCH
from tilebank.flows.tune import tune_head
from tilebank.store.tables import Store
from tilebank.tracking.runs import Tracker, TrialRecord

PATIENTS = 40  # of each split, with two breasts each
FIGURES = {"auc": "test_auc", "auprc": "test_auprc", "specificity": "test_spec_at_sens"}


@dataclass(frozen=True)
class Recorded:
    """A search as it stands in record and store, and what its scores come to."""

    run_id: str
    val: Scored
    test: Scored
    evaluation: Evaluation


def split_of(name: str, *, gap: float, seed: int) -> Scored:
    """Scores of which positives are higher by `gap` standard deviations; labels and ids go by `name` alone."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(2 * PATIENTS) % 3 == 0).astype(np.int64)
    scores = 1 / (1 + np.exp(-(gap * labels + rng.normal(size=labels.size)))).astype(np.float32)
    patients = tuple(f"secret-{name}{place // 2:02d}" for place in range(labels.size))
    return Scored(scores, labels, patients, tuple(f"{who}_{'LR'[i % 2]}" for i, who in enumerate(patients)))


def kept(scored: Scored, places: Sequence[int]) -> Scored:
    """Some of its breasts, in the order given."""
    of = list(places)
    patients, breasts = (tuple(ids[place] for place in of) for ids in (scored.patients, scored.breast_ids))
    return Scored(scored.scores[of], scored.labels[of], patients, breasts)


def as_rows(scored: Scored, split: str, run_id: str, *, settings: Settings, task: str) -> list[dict[str, object]]:
    """What a search leaves in the store."""
    common = {"task": task, "split": split, "head": settings.head_name, "run_id": run_id, "fingerprint": "f"}
    return [
        common
        | {"breast_id": breast, "exam_id": breast[:-2], "patient_id": patient, "label": int(label), "score": score}
        for breast, patient, label, score in zip(
            scored.breast_ids, scored.patients, scored.labels, scored.scores.tolist(), strict=True
        )
    ]


def record(
    settings: Settings,
    val: Scored | None,
    test: Scored,
    *,
    task: str = "malignancy",
    fingerprint: str = "f" * 16,
    searched: Mapping[str, float] | None = None,
) -> Recorded:
    """Leave a search in record and store, as a search does, its one trial included; `val` None: it lost its rows.

    searched: further metrics of the search.
    """
    tracker = Tracker(settings.tracking, experiment=f"phantom--{task}", artifacts=settings.artifacts)
    tags = tags_of(settings, task=task, fingerprint=fingerprint, table_version=3)
    evaluation = evaluate(val or split_of("v", gap=1, seed=0), test, replicates=200, seed=0)
    with tracker.run("search", params={}, tags=tags) as run_id:
        tracker.log_trials(run_id, [TrialRecord("seed 0", {}, {"best_val_auc": 0.99}, {}, 1)], tags=tags)
        metrics = evaluation.as_metrics() | {"trials": 1.0} | dict(searched or {})
        tracker.log_results(run_id, metrics=metrics, figures={}, documents={})
        parts = {"test": test} | ({"val": val} if val else {})
        rows = [
            row for split, part in parts.items() for row in as_rows(part, split, run_id, settings=settings, task=task)
        ]
        Store(settings.store).write_predictions("phantom", settings.encoder.name, rows, licence=settings.licence)
    return Recorded(run_id, val or test, test, evaluation)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compared")


def settings_at(home: Path, encoder: str = "texture", head: str = "dual_stream", *pairs: str) -> Settings:
    return load_settings(
        Choices(
            encoder=encoder,
            head=head,
            store=str(home / "store"),
            tracking=f"sqlite:///{home}/mlflow.db",
            set=(f"artifacts={home}/artifacts", "evaluation.replicates=200", *pairs),
        )
    )


@pytest.fixture(scope="module")
def searches(home: Path) -> dict[str, Recorded]:
    """Three searches, by name; and beside them a shuffled control, an older search and one that failed."""
    plain, views = settings_at(home), settings_at(home, head="views_only")
    control = settings_at(home, "texture", "tiles_only", "search.shuffle_labels=true")
    test = split_of("t", gap=1.5, seed=1)
    record(plain, split_of("v", gap=0.5, seed=8), split_of("t", gap=0.5, seed=9))
    record(control, split_of("v", gap=9, seed=0), split_of("t", gap=9, seed=1))
    with pytest.raises(ZeroDivisionError):
        broken_off(views)
    return {
        "texture/dual_stream": record(
            plain, split_of("v", gap=3, seed=0), test, searched={"fit_s": 12.3, OF_SEARCH: 0.00456}
        ),
        "texture/views_only": record(views, split_of("v", gap=1, seed=2), split_of("t", gap=4, seed=3)),
        "dinov2-small/dual_stream": record(
            settings_at(home, "dinov2-small"), split_of("v", gap=2, seed=4), split_of("t", gap=0.7, seed=5)
        ),
    }


def broken_off(settings: Settings) -> None:
    """A search that ends in an error."""
    tracker = Tracker(settings.tracking, experiment="phantom--malignancy", artifacts=settings.artifacts)
    tags = tags_of(settings, task="malignancy", fingerprint="f" * 16, table_version=3)
    with tracker.run("search", params={}, tags=tags):
        raise ZeroDivisionError


@pytest.fixture(scope="module")
def compared(home: Path, searches: dict[str, Recorded]) -> ComparisonSummary:
    return compare_searches(settings_at(home), task="malignancy", wanted=Wanted(), out=home / "out")


def test_rows_go_by_validation_auc_and_hold_the_newest_finished_searches(
    compared: ComparisonSummary, searches: dict[str, Recorded]
) -> None:
    assert [head.name for head in compared.heads] == [
        "texture/dual_stream",
        "dinov2-small/dual_stream",
        "texture/views_only",
    ]
    assert {head.name: head.run.run_id for head in compared.heads} == {
        name: search.run_id for name, search in searches.items()
    }
    aucs = [head.evaluation.auc.value for head in compared.heads]
    assert max(aucs) == aucs[-1], "the best on test stands last: it was not chosen"
    assert compared.reference == "texture/dual_stream"
    assert "heads and vectors are not shown: 1 (--all-runs" in compared.as_text()


def test_figures_are_the_searches_own(compared: ComparisonSummary, searches: dict[str, Recorded]) -> None:
    for head in compared.heads:
        assert head.evaluation == searches[head.name].evaluation


def test_differences_and_p_values_are_those_of_the_paired_bootstrap(
    compared: ComparisonSummary, searches: dict[str, Recorded]
) -> None:
    reference = searches[compared.reference]
    expected = {
        name: compare_scores(
            one.test,
            reference.test,
            thresholds=(one.evaluation.at_sensitivity.threshold, reference.evaluation.at_sensitivity.threshold),
            replicates=200,
            seed=0,
        )
        for name, one in searches.items()
        if one is not reference
    }
    found = {head.name: head.difference for head in compared.heads if head.difference}
    assert {name: difference.found for name, difference in found.items()} == expected
    order = list(found)
    assert [found[name].p_holm for name in order] == holm_p_values([expected[name].auc.p_value for name in order])
    assert [found[name].delong_p_holm for name in order] == holm_p_values(
        [expected[name].delong.p_value for name in order]
    )


def test_the_text_holds_both_tables_and_says_that_the_split_is_spent(compared: ComparisonSummary) -> None:
    text = compared.as_text()
    assert SPENT in text
    for head in compared.heads:
        found = head.evaluation
        assert f"| `{head.name}` | 1 | {found.val_auc:.3f} | {found.auc.as_text()} | {found.auprc.as_text()} |" in text
        if head.difference:
            auc = head.difference.found.auc
            row = f"| `{head.name}` | {auc.estimate.as_text()} | {as_p(auc.p_value)} | {as_p(head.difference.p_holm)} |"
            assert row in text
    assert "`texture/dual_stream`" not in compared.as_differences().split("\n", 2)[2]


def test_what_fitting_took_and_how_attention_moved_stand_in_every_form_or_as_unknown(
    home: Path, compared: ComparisonSummary
) -> None:
    rows = compared.as_table().splitlines()
    assert rows[0].endswith("| fit, s | attention JS |")
    assert [row.split(" | ")[-2:] for row in rows[2:]] == [["12", "4.6e-03 |"], ["–", "– |"], ["–", "– |"]]
    assert MOVED in compared.as_text()
    said = json.loads((home / "out" / "compare.json").read_text())["heads"]
    assert [(head["fit_s"], head[OF_SEARCH]) for head in said] == [(12.3, 0.00456), (None, None), (None, None)]
    with (home / "out" / "compare.csv").open() as stream:
        assert [row["fit_s"] for row in csv.DictReader(stream)] == ["12.3", "", ""]
    page = (home / "out" / "compare.html").read_text()
    assert '<td class="n">12</td><td class="n">4.6e-03</td>' in page
    assert MOVED in page


def test_the_files_agree_with_each_other_and_name_no_patient(home: Path, compared: ComparisonSummary) -> None:
    folder = home / "out"
    document = json.loads((folder / "compare.json").read_text(), parse_constant=pytest.fail)
    with (folder / "compare.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert document == json.loads(json.dumps(compared.as_dict()))
    for row, said, head in zip(rows, document["heads"], compared.heads, strict=True):
        assert row["name"] == said["name"] == head.name
        for attribute, key in FIGURES.items():
            estimate = getattr(head.evaluation, attribute)
            assert float(row[key]) == said[key] == estimate.value
            assert float(row[f"{key}_low"]) == said[f"{key}_low"] == estimate.interval.low
    assert rows[0]["minus_reference_auc"] == ""
    assert float(rows[1]["minus_reference_auc"]) == compared.heads[1].difference.found.auc.estimate.value
    page = (folder / "compare.html").read_text()
    assert not re.search(r"""(?:src|href)=["'](?!data:)|https?://|<script|@import|url\(""", page)
    assert SPENT in page
    assert "Research software, not a medical device." in page
    for head in compared.heads:
        assert f"{head.evaluation.auc.interval.low:.3f} to {head.evaluation.auc.interval.high:.3f}" in page
    assert (folder / "compare.png").read_bytes().startswith(b"\x89PNG")
    for name in ("compare.json", "compare.csv", "compare.html"):
        assert "secret-" not in (folder / name).read_text()


def test_the_comparison_is_a_run_of_its_own_and_no_search(home: Path, compared: ComparisonSummary) -> None:
    settings = settings_at(home)
    client = mlflow.MlflowClient(settings.tracking)
    run = client.get_run(compared.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags["kind"] == "comparison"
    assert run.data.tags["licence"] == "CC0-1.0"
    assert not [name for name in run.data.metrics if name.startswith(("test_auc", "val_auc"))]
    assert {item.path for item in client.list_artifacts(compared.run_id)} >= {
        "compare.html",
        "compare.csv",
        "compare.json",
        "figures",
    }
    again = compare_searches(settings, task="malignancy", wanted=Wanted(), out=home / "again")
    assert again.heads == compared.heads


def test_any_row_can_be_the_reference_by_name_or_run(home: Path, searches: dict[str, Recorded]) -> None:
    settings, wanted = settings_at(home), Wanted(encoder="texture")
    run_id = searches["texture/views_only"].run_id
    for against in ("texture/views_only", run_id[:10]):
        found = compare_searches(settings, task="malignancy", wanted=wanted, against=against, out=home / "against")
        assert found.reference == "texture/views_only"
        assert [head.difference is None for head in found.heads] == [False, True]
    with pytest.raises(ConfigError, match=r"--against texture/tiles_only names no search .*texture/dual_stream \(run "):
        compare_searches(settings, task="malignancy", wanted=wanted, against="texture/tiles_only", out=home)


def test_searches_are_chosen_by_head_by_run_or_all_with_names_that_differ(
    home: Path, searches: dict[str, Recorded]
) -> None:
    settings = settings_at(home)

    def names(wanted: Wanted) -> list[str]:
        found = compare_searches(settings, task="malignancy", wanted=wanted, out=home / "chosen")
        return sorted(head.name for head in found.heads)

    assert names(Wanted(head="dual_stream")) == ["dinov2-small/dual_stream", "texture/dual_stream"]
    ids = tuple(searches[name].run_id for name in ("texture/views_only", "texture/dual_stream"))
    assert names(Wanted(runs=ids)) == ["texture/dual_stream", "texture/views_only"]
    everything = names(Wanted(all_runs=True))
    assert len(everything) == len(set(everything)) == 4
    assert f"texture/dual_stream#{searches['texture/dual_stream'].run_id[:8]}" in everything
    with pytest.raises(ConfigError, match=r"no finished search with head 'tiles_only'; there are .*views_only"):
        names(Wanted(head="tiles_only"))
    with pytest.raises(ConfigError, match="no finished search has a run id that starts with 'nothing'"):
        names(Wanted(runs=("nothing",)))


def test_breasts_that_one_search_did_not_score_are_left_out_for_all_and_counted(home: Path) -> None:
    settings, views = settings_at(home), settings_at(home, "texture", "views_only", "splits.seed=5")
    val, test = split_of("v", gap=2, seed=0), split_of("t", gap=2, seed=1)
    shown = list(range(7, 2 * PATIENTS))
    fewer = kept(split_of("t", gap=1, seed=2), shown[::-1])
    record(settings, val, test, task="mass")
    record(views, kept(split_of("v", gap=1, seed=3), range(60)), fewer, task="mass")
    found = compare_searches(settings, task="mass", wanted=Wanted(), out=home / "mass")
    assert found.counts.breasts == len(shown)
    assert found.heads[0].evaluation == evaluate(val, kept(test, shown), replicates=200, seed=0)
    notes = " ".join(found.notes)
    assert "test breasts that only some of the searches scored are left out: 7" in notes
    assert "patients were split in 2 ways (val=0.1 test=0.2 seed=0; val=0.1 test=0.2 seed=5)" in notes
    assert "the searches' validation breasts are not the same" in notes
    assert "<b>Mind:</b> test breasts that only some" in (home / "mass" / "compare.html").read_text()


def test_other_labels_and_too_little_in_common_are_refused(home: Path) -> None:
    settings, views = settings_at(home), settings_at(home, head="views_only")
    val, test = split_of("v", gap=2, seed=0), split_of("t", gap=2, seed=1)
    first = record(settings, val, test, task="calcification")
    swapped = replace(test, labels=np.roll(test.labels, 1))
    second = record(views, val, swapped, task="calcification")
    with pytest.raises(DatasetError, match=r"saw other labels or patients for \d+ breasts") as caught:
        compare_searches(settings, task="calcification", wanted=Wanted(), out=home / "swapped")
    assert first.run_id in str(caught.value)
    assert second.run_id in str(caught.value)
    record(views, val, split_of("u", gap=1, seed=1), task="calcification")
    with pytest.raises(DatasetError, match="0 test breasts are common to all 2 searches, 0 of them positive"):
        compare_searches(settings, task="calcification", wanted=Wanted(), out=home / "apart")


def test_what_is_missing_is_named(home: Path, tmp_path: Path) -> None:
    settings, views = settings_at(home), settings_at(home, head="views_only")
    val, test = split_of("v", gap=2, seed=0), split_of("t", gap=2, seed=1)
    with pytest.raises(TrackingError, match="no finished search of cancer on phantom; .*jobs/tune_head.py"):
        compare_searches(settings, task="cancer", wanted=Wanted(), out=home / "none")
    record(settings, val, test, task="cancer")
    with pytest.raises(TrackingError, match="one search alone is there to compare: dual_stream on texture"):
        compare_searches(settings, task="cancer", wanted=Wanted(), out=home / "none")
    assert not (home / "none").exists()
    lost = record(views, None, test, task="cancer")
    with pytest.raises(StoreError, match=f"holds no val predictions of texture/views_only .run {lost.run_id}"):
        compare_searches(settings, task="cancer", wanted=Wanted(), out=home / "lost")
    with pytest.raises(ConfigError, match="unknown task 'cancr'"):
        compare_searches(settings, task="cancr", wanted=Wanted(), out=home / "none")
    nowhere = settings.model_copy(update={"tracking": f"sqlite:///{tmp_path}/none.db"})
    with pytest.raises(TrackingError, match="no finished search"):
        compare_searches(nowhere, task="malignancy", wanted=Wanted(), out=home / "none")
    assert not list(tmp_path.iterdir()), "looking makes no database"
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match="--out"):
        compare_searches(settings, task="malignancy", wanted=Wanted(), out=tmp_path / "file" / "out")


def test_a_task_of_several_classes_is_refused(home: Path) -> None:
    settings = settings_at(home)
    tracker = Tracker(settings.tracking, experiment="phantom--density", artifacts=settings.artifacts)
    tags = tags_of(settings, task="density", fingerprint="f" * 16, table_version=3)
    with tracker.run("search", params={}, tags=tags) as run_id:
        tracker.log_results(run_id, metrics={"val_auc": 0.9}, figures={}, documents={})
    with pytest.raises(ConfigError, match="density is answered by several classes or labels"):
        compare_searches(settings, task="density", wanted=Wanted(), out=home / "none")


@pytest.mark.slow
def test_real_searches_are_compared_with_the_figures_that_they_recorded(
    settings_for: MakeSettings, ray_session: None, tmp_path: Path
) -> None:
    common = ("search.trials=2", "search.fit.max_epochs=10", "splits.val=0.2")
    extract(settings_for(*common))
    found = {
        head: tune_head(settings_for(*common, head=head), task="malignancy") for head in ("dual_stream", "views_mean")
    }
    assert all(isinstance(one, SearchSummary) for one in found.values())
    summary = compare_searches(settings_for(), task="malignancy", wanted=Wanted(), out=tmp_path / "out")
    assert sorted(head.run.tags["head"] for head in summary.heads) == sorted(found)
    for head in summary.heads:
        assert head.evaluation.as_metrics() == pytest.approx(found[head.run.tags["head"]].evaluation.as_metrics())
        assert head.trials == 2
        assert head.fit_s > 0
        assert np.isfinite(head.attention_js) == (head.run.tags["head"] == "dual_stream")
        assert head.run.metrics["test_auc_low"] == pytest.approx(head.evaluation.auc.interval.low)
