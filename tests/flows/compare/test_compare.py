"""Searches side by side: which are taken, on which breasts, in which order, and what is left behind."""

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import mlflow
import numpy as np
import pytest
from tests.flows.conftest import SearchedHeads
from tests.flows.recorded_searches import Recorded, record, settings_at, split_of

from tilebank.errors import ConfigError
from tilebank.evaluation.intervals.paired import compare_scores, holm_p_values
from tilebank.flows.compare.compare import compare_searches
from tilebank.flows.compare.runs import Wanted
from tilebank.flows.compare.summary import MOVED, SPENT, ComparisonSummary, as_p
from tilebank.flows.search.attention_stability import OF_SEARCH
from tilebank.flows.search.record import tags_of
from tilebank.flows.settings.settings import Settings
from tilebank.tracking.runs import Tracker

FIGURES = {"auc": "test_auc", "auprc": "test_auprc", "specificity": "test_spec_at_sens"}


@pytest.fixture(scope="module")
def home(new_record: Callable[[Path], str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("compared")
    new_record(home)
    return home


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


@pytest.mark.slow
def test_real_searches_are_compared_with_the_figures_that_they_recorded(
    searched_heads: SearchedHeads, tmp_path: Path
) -> None:
    found = {search.head: search for search in searched_heads.summary.searches}
    summary = compare_searches(searched_heads.settings, task="malignancy", wanted=Wanted(), out=tmp_path / "out")
    assert sorted(head.run.tags["head"] for head in summary.heads) == sorted(found)
    for head in summary.heads:
        assert head.evaluation.as_metrics() == pytest.approx(found[head.run.tags["head"]].evaluation.as_metrics())
        assert head.trials == 2
        assert head.fit_s > 0
        assert np.isfinite(head.attention_js) == (head.run.tags["head"] == "dual_stream")
        assert head.run.metrics["test_auc_low"] == pytest.approx(head.evaluation.auc.interval.low)
