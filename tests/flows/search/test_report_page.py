import json
import re
from dataclasses import replace

import numpy as np
import pytest

from tilebank.evaluation.multiclass import evaluate_classes
from tilebank.evaluation.multilabel import evaluate_labels
from tilebank.evaluation.plots.classification import calibration_figure, curves_figure, roc_figure, trials_strip_figure
from tilebank.evaluation.plots.forest import forest_figure
from tilebank.evaluation.report import evaluate
from tilebank.evaluation.scores import ScoredBreasts
from tilebank.evaluation.subgroups import evaluate_subgroups
from tilebank.evaluation.trial_quantiles import summarise_trials
from tilebank.flows.champion.code_revision import code_revision
from tilebank.flows.search.evaluate import ScoredSplit, ScoredSplits
from tilebank.flows.search.report_figures import champion_figures
from tilebank.flows.search.report_page import RESEARCH, ChampionPage, as_document, render_champion
from tilebank.terms import LabelRow


def scored(split: str, seed: int) -> ScoredBreasts:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, 120)
    scores = 1 / (1 + np.exp(-(1.8 * labels + rng.normal(size=120) - 0.8)))
    patients = tuple(f"secret-{split}{index // 2}" for index in range(120))
    return ScoredBreasts(scores, labels, patients, tuple(f"{name}_{'LR'[i % 2]}" for i, name in enumerate(patients)))


@pytest.fixture(scope="module")
def drawn() -> tuple[ChampionPage, dict]:
    val, test = scored("v", 0), scored("t", 1)
    found = evaluate(val, test, replicates=100, seed=0)
    groups = ["Acme <b>"] * 60 + ["Other"] * 54 + [""] * 6
    parts = evaluate_subgroups(
        test.scores, test.labels, test.patients, groups, column="vendor", threshold=0.4, replicates=100, seed=0
    )
    aucs = np.random.default_rng(0).normal(0.85, 0.01, 36)
    figures = {
        "roc": roc_figure(test, found),
        "calibration": calibration_figure(test, found),
        "trials": trials_strip_figure(aucs, champion=int(aucs.argmax())),
        "curves": curves_figure([np.linspace(0.5, auc, 20) for auc in aucs], champion=int(aucs.argmax())),
        "subgroups": forest_figure(parts, found.auc),
    }
    page = ChampionPage(
        dataset="phantom",
        task="malignancy",
        control=False,
        evaluation=found,
        subgroups=tuple(parts),
        subgroup_patients=10,
        spread=summarise_trials(aucs),
        provenance={"licence": "CC0-1.0 (may be shared)", "fingerprint of the vectors": "0123abcd"},
        counts={
            "train": {"breasts": 80, "patients": 41, "malignant": 17},
            "val": {"breasts": 12, "patients": 6, "malignant": 3},
        },
        facts={"made": "2026-11-30 12:00 UTC", "command": "tilebank tune --task malignancy"},
    )
    return page, figures


def text_of(html: str) -> str:
    return " ".join(re.sub(r"<style>.*?</style>|<[^>]+>", " ", html, flags=re.DOTALL).split())


def test_the_page_needs_nothing_beside_it_and_names_no_patient(drawn: tuple[ChampionPage, dict]) -> None:
    html = render_champion(*drawn)
    assert html.count("data:image/png;base64,") == 5
    assert not re.search(r"""(?:src|href)=["'](?!data:)|https?://|<script|@import|url\(""", html)
    assert "secret-" not in html


def test_the_page_says_what_a_reviewer_asks(drawn: tuple[ChampionPage, dict]) -> None:
    page, _ = drawn
    text = text_of(render_champion(*drawn))
    found = page.evaluation
    assert RESEARCH in text
    assert f"{found.auc.interval.low:.3f} to {found.auc.interval.high:.3f}" in text
    assert f"where its score is {found.at_sensitivity.threshold:.4f} or more" in text
    assert f"a sensitivity of {found.sensitivity.as_text()} at a specificity of {found.specificity.as_text()}" in text
    assert f"median AUC {page.spread.median:.3f}" in text
    for name, value in (*page.provenance.items(), *page.facts.items()):
        assert f"{name} {value}" in text
    assert "split breasts patients malignant train 80 41 17" in text


def test_subgroups_are_shown_with_figures_or_with_the_reason_why_not(drawn: tuple[ChampionPage, dict]) -> None:
    page, figures = drawn
    html = render_champion(page, figures)
    assert "Acme &lt;b&gt;" in html
    assert "Acme <b>" not in html
    acme, _, unknown = page.subgroups
    assert f"{acme.auc.value:.3f} ( {acme.auc.interval.low:.3f}" in text_of(html).replace("(", "( ").replace("  ", " ")
    assert unknown.withheld
    assert f"withheld: {unknown.withheld}" in text_of(html)
    bare = {name: figure for name, figure in figures.items() if name != "subgroups"}
    assert render_champion(page, bare).count("data:image/png;base64,") == 4
    assert "The data has no column to divide these breasts by" in text_of(render_champion(replace(page, subgroups=()), bare))


def test_a_control_calls_itself_one(drawn: tuple[ChampionPage, dict]) -> None:
    page, figures = drawn
    assert "should be at chance" not in text_of(render_champion(page, figures))
    text = text_of(render_champion(replace(page, control=True), figures))
    assert text.count("Control for malignancy on phantom") == 2
    assert "should be at chance" in text


def test_the_document_is_json_and_holds_every_figure(drawn: tuple[ChampionPage, dict]) -> None:
    page, _ = drawn
    document = json.loads(json.dumps(as_document(page), allow_nan=False))
    assert document["evaluation"]["auc"]["interval"]["low"] == page.evaluation.auc.interval.low
    assert [part["value"] for part in document["subgroups"]] == ["Acme <b>", "Other", "unknown"]
    assert document["trials"]["median"] == page.spread.median
    assert document["note"] == RESEARCH


def answered(labels: dict[str, np.ndarray], scores: np.ndarray, *, split: str) -> ScoredSplit:
    """Two breasts a patient."""
    numbers = np.stack(list(labels.values()), axis=1) if len(labels) > 1 else next(iter(labels.values()))
    rows = tuple(
        LabelRow("phantom", "t", f"secret-{split}{at // 2}", f"E{split}{at}", f"E{split}{at}_L", 0, "", "")
        for at in range(len(scores))
    )
    return ScoredSplit(rows, numbers, scores)


def page_of(scored: ScoredSplits, task: str, plain: ChampionPage) -> str:
    figures = champion_figures(scored, title=task)
    trials = {name: trials_strip_figure(np.array([0.8, 0.9]), champion=1) for name in ("trials", "curves")}
    page = replace(plain, task=task, evaluation=scored.evaluation, subgroups=scored.subgroups)
    html = render_champion(page, figures | trials)
    assert html.count("data:image/png;base64,") == len(figures) + 2
    assert "secret-" not in html
    json.dumps(as_document(page), allow_nan=False)
    return text_of(html)


def test_a_page_of_classes_holds_each_class_and_what_calling_the_commonest_would_get(
    drawn: tuple[ChampionPage, dict],
) -> None:
    rng = np.random.default_rng(0)
    parts = []
    for split in "vt":
        labels = np.concatenate([np.arange(4), rng.choice((1, 2, 3), 116, p=(0.4, 0.5, 0.1))])
        logits = rng.normal(size=(120, 4)) + 2 * np.eye(4)[labels]
        scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        parts.append(answered({"density": labels}, scores, split=split))
    found = evaluate_classes(*(part.as_classes() for part in parts), classes="ABCD", replicates=100, seed=0)
    text = page_of(ScoredSplits(*parts, found, ()), "density", drawn[0])
    counts = found.test_counts
    for name, auc, breasts, patients in zip(
        "ABCD", found.class_aucs, counts.by_class, counts.patients_by_class, strict=True
    ):
        span = f"{auc.interval.low:.3f} to {auc.interval.high:.3f}"
        assert f"AUC of {name} {auc.value:.3f} {span} {breasts} breasts of {patients} patients, against all" in text
    assert "predicting C for every breast gives" in text
    assert f"{found.auc.interval.skipped} of 100 bootstrap samples had no breast of some class" in text
    assert found.auc.interval.skipped > 0
    assert "median macro AUC" in text
    control = replace(drawn[0], control=True)
    assert "should be at chance on average over several shuffles" in page_of(
        ScoredSplits(*parts, found, ()), "density", control
    )
    assert "None: subgroups of a test split rarely have enough patients of every class." in text


def test_a_page_of_labels_holds_each_with_its_own_threshold_and_subgroups(drawn: tuple[ChampionPage, dict]) -> None:
    rng = np.random.default_rng(1)
    parts = []
    for split in "vt":
        labels = {name: rng.integers(0, 2, 120) for name in ("mass", "calcification")}
        scores = 1 / (1 + np.exp(-(rng.normal(size=(120, 2)) + 2 * np.stack(list(labels.values()), axis=1))))
        parts.append(answered(labels, scores, split=split))
    val, test = (part.as_labels(("mass", "calcification")) for part in parts)
    found = evaluate_labels(val, test, replicates=100, seed=0)
    one = test["mass"]
    subgroups = evaluate_subgroups(
        *(one.scores, one.labels, one.patients, ["Acme"] * 120), column="mass, by vendor", threshold=0.5, seed=0
    )
    text = page_of(ScoredSplits(*parts, found, tuple(subgroups)), "findings", drawn[0])
    for label in found.labels.values():
        assert f"where its score is {label.at_sensitivity.threshold:.4f} or more" in text
    assert f"The macro AUC, {found.auc.as_text()}, is the mean over the labels" in text
    assert "Figures of each label are at its threshold above." in text
    assert "mass, by vendor Acme 60 120" in text


def test_the_revision_names_the_commit_of_this_checkout() -> None:
    assert re.fullmatch(r"0\.\S+(, commit [0-9a-f]{12}( and changes)?)?", code_revision())


def test_forest_shows_every_part_and_the_whole(drawn: tuple[ChampionPage, dict]) -> None:
    page, figures = drawn
    axes = figures["subgroups"].axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["vendor", *(f"{p.value} ({p.counts.positives}/{p.counts.breasts})" for p in page.subgroups)]
    assert "too few patients" in [text.get_text() for text in axes.texts]
    dots = sorted(float(line.get_xdata()[0]) for line in axes.lines if line.get_marker() == "o")
    assert dots == sorted(part.auc.value for part in page.subgroups if part.auc)
    assert page.evaluation.auc.as_text() in axes.get_xlabel()
