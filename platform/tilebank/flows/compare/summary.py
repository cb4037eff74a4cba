"""The result of a comparison as records, as tables and as JSON values."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from tilebank.evaluation.intervals.paired import Comparison
from tilebank.evaluation.report import Evaluation
from tilebank.evaluation.scores import Counts
from tilebank.flows.search.attention_stability import OF_SEARCH
from tilebank.tracking.finished_runs import RecordedRun

SPENT = (
    "Every comparison uses up some of a test split: the more heads are compared, the more the best of them owes to"
    " chance. Choose by validation AUC, and confirm the choice on patients that no head has seen."
)
MOVED = (
    "Attention JS: the Jensen-Shannon divergence between the attention on a validation breast in one epoch and the"
    " next, mean over the later half of the epochs, median over the trials; compare it only between heads of one recipe"
)
SPLIT_TAGS = ("train_counts", "val_counts")  # of searches that recorded them
TAGS = ("encoder", "head", "fingerprint", "table_version", "split_scheme", "code_revision")


@dataclass(frozen=True)
class HeadDifference:
    """A head against the reference. `..._holm`: the p-value corrected for the number of heads in the table."""

    found: Comparison
    p_holm: float
    delong_p_holm: float


@dataclass(frozen=True)
class ComparedHead:
    """A row: the champion of one search, with its figures on the common test breasts; the reference differs by None."""

    name: str
    run: RecordedRun
    evaluation: Evaluation
    difference: HeadDifference | None

    @property
    def trials(self) -> int:
        """How many heads it was chosen from."""
        return int(self.run.metrics["trials"])

    @property
    def fit_s(self) -> float:
        """Seconds that fitting all of them took; NaN where the record does not say."""
        return self.run.metrics.get("fit_s", math.nan)

    @property
    def attention_js(self) -> float:
        """How far attention moved from epoch to epoch, see attention_stability.py; NaN for a head without any."""
        return self.run.metrics.get(OF_SEARCH, math.nan)

    def as_dict(self) -> dict[str, object]:
        """JSON values: what it is, its figures, and how far it lies from the reference."""
        made_by = {"name": self.name, "run_id": self.run.run_id, "trials": self.trials}
        made_by |= {tag: self.run.tags[tag] for tag in TAGS}
        searched = {"fit_s": self.fit_s, OF_SEARCH: self.attention_js}
        return made_by | _known(searched) | _known(self.evaluation.as_metrics()) | _known(_differences(self.difference))


@dataclass(frozen=True)
class ComparisonSummary:
    """The rows by validation AUC, highest first, with notes.

    run_id: of the comparison; facts: date, command and versions.
    """

    dataset: str
    task: str
    reference: str
    heads: tuple[ComparedHead, ...]
    notes: tuple[str, ...]
    licence: Mapping[str, str]
    folder: str
    wall_s: float
    run_id: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def counts(self) -> Counts:
        """The test breasts that all rows share."""
        return self.heads[0].evaluation.test_counts

    @property
    def title(self) -> str:
        """What was compared, in one line."""
        counts = self.counts
        return (
            f"{self.dataset}, {self.task}: {len(self.heads)} heads on {counts.breasts} test breasts of"
            f" {counts.patients} patients, {counts.positives} positive"
        )

    def as_dict(self) -> dict[str, object]:
        """JSON values."""
        interval = self.heads[0].evaluation.auc.interval
        return {
            "dataset": self.dataset,
            "task": self.task,
            "reference": self.reference,
            "heads": [head.as_dict() for head in self.heads],
            "level": interval.level,
            "replicates": interval.replicates,
            "notes": [*self.notes, SPENT],
            "run_id": self.run_id,
            "facts": dict(self.facts),
            **self.licence,
        }

    def as_table(self) -> str:
        """Markdown: a row a head, its figures with their intervals."""
        wanted = self.heads[0].evaluation.sensitivity_wanted
        rows = [
            f"| encoder/head | trials | validation AUC | test AUC | AUPRC | Spec@Sens={wanted:g} | bACC | fit, s |"
            " attention JS |",
            "|---" * 9 + "|",
        ]
        for head in self.heads:
            found = head.evaluation
            figures = (found.auc, found.auprc, found.specificity, found.balanced_accuracy)
            cells = [f"`{head.name}`", str(head.trials), f"{found.val_auc:.3f}", *(each.as_text() for each in figures)]
            cells += [as_figure(head.fit_s, ".0f"), as_figure(head.attention_js, ".1e")]
            rows.append(f"| {' | '.join(cells)} |")
        return "\n".join(rows)

    def as_differences(self) -> str:
        """Markdown: a row a head but the reference, its AUC minus that of the reference, and four p-values."""
        rows = [
            f"| AUC minus that of `{self.reference}` | difference | p | p, Holm | p, DeLong | p, DeLong, Holm |",
            "|---|---|---|---|---|---|",
        ]
        for head in self.heads:
            if head.difference is None:
                continue
            auc, delong = head.difference.found.auc, head.difference.found.delong
            p_values = (auc.p_value, head.difference.p_holm, delong.p_value, head.difference.delong_p_holm)
            cells = [f"`{head.name}`", auc.estimate.as_text(), *(as_p(value) for value in p_values)]
            rows.append(f"| {' | '.join(cells)} |")
        return "\n".join(rows)

    def as_text(self) -> str:
        """Both tables, how they came about, and where the rest is."""
        interval = self.heads[0].evaluation.auc.interval
        return "\n".join(
            [
                self.title,
                self.as_table(),
                "",
                self.as_differences(),
                "",
                f"{interval.level:.0%} intervals and p from {interval.replicates} patient replicates, the same for all"
                " heads; thresholds were chosen on validation; DeLong's test assumes independent breasts",
                MOVED,
                *self.notes,
                SPENT,
                f"time: {self.wall_s:.1f} s",
                f"written: compare.csv, .json, .png and .html in {self.folder}; run: {self.run_id}",
            ]
        )


def as_figure(value: float, form: str) -> str:
    """A number for people; one that is not known is a dash."""
    return "–" if math.isnan(value) else format(value, form)


def as_p(value: float) -> str:
    """A p-value for people; one that is not defined is a dash."""
    return "< 0.001" if value < 0.001 else as_figure(value, ".3f")


def _differences(difference: HeadDifference | None) -> dict[str, float]:
    """Flat names; empty for the reference. p-values are of the AUC alone."""
    if difference is None:
        return {}
    found = difference.found
    figures: dict[str, float] = {}
    for name, each in (
        ("auc", found.auc),
        ("auprc", found.auprc),
        ("spec_at_sens", found.specificity),
        ("sens_reached", found.sensitivity),
    ):
        if each:
            interval = each.estimate.interval
            figures |= {name: each.estimate.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
    figures |= {"auc_p": found.auc.p_value, "auc_p_holm": difference.p_holm}
    figures |= {"auc_p_delong": found.delong.p_value, "auc_p_delong_holm": difference.delong_p_holm}
    return {f"minus_reference_{name}": value for name, value in figures.items()}


def _known(figures: Mapping[str, float]) -> dict[str, object]:
    """JSON has no word for what is not a number."""
    return {name: value if math.isfinite(value) else None for name, value in figures.items()}
