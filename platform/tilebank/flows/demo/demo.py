"""Phantoms, extraction and a search of 36 heads, one after another, and where to look at what they made."""

from collections.abc import Callable
from dataclasses import asdict, dataclass

from tilebank.files import exists, is_local
from tilebank.flows.demo.study import DemoStudy, size_of
from tilebank.flows.extract.extract import ExtractionSummary, extract
from tilebank.flows.reporting.job import aligned
from tilebank.flows.reporting.progress import progress_bar
from tilebank.flows.reporting.stopwatch import Stopwatch
from tilebank.flows.search.resume import SearchRun, search_run
from tilebank.flows.search.tune import tune_head
from tilebank.flows.study.study import LabelledStudy, open_study
from tilebank.phantom.plan import count_images, plan_exams
from tilebank.phantom.writer import PhantomSummary, write_phantoms
from tilebank.terms import Split
from tilebank.tracking.finished_runs import RecordedRun, find_runs
from tilebank.tracking.places import RunPlace, find_place
from tilebank.tracking.runs import SEARCH, experiment_name

TASK = "malignancy"


@dataclass(frozen=True)
class Champion:
    """The recorded figures of the search's champion on validation and test."""

    trials: int
    seed: int
    val_auc: float
    test_auc: float
    test_auc_low: float
    test_auc_high: float
    test_breasts: int
    test_patients: int
    test_positives: int

    def as_rows(self) -> list[tuple[str, str]]:
        """Names and values for people."""
        return [
            ("champion", f"seed {self.seed} of {self.trials} heads, validation AUC {self.val_auc:.3f}"),
            (
                "test AUC",
                f"{self.test_auc:.3f} (95 % interval {self.test_auc_low:.3f} to {self.test_auc_high:.3f}),"
                f" {self.test_breasts} breasts of {self.test_patients} patients, {self.test_positives} malignant",
            ),
        ]


@dataclass(frozen=True)
class DemoSummary:
    """What was made and where it lies. times: seconds of the parts; searched: whether this call ran the search."""

    phantoms: PhantomSummary
    extraction: ExtractionSummary
    champion: Champion
    searched: bool
    place: RunPlace
    next_commands: tuple[str, ...]
    times: dict[str, float]

    def as_dict(self) -> dict[str, object]:
        """JSON values."""
        parts = {"phantoms": self.phantoms.as_dict(), "extraction": self.extraction.as_dict()}
        return asdict(self) | parts | {"report": self.place.report, "page": self.place.page}

    def as_text(self) -> str:
        """What was made, the champion's figures, where to look, and what to try next."""
        plan = self.extraction.plan
        seconds = ", ".join(f"{part} {value:.0f} s" for part, value in self.times.items())
        rows = [
            ("phantoms", self.phantoms.as_text()),
            ("vectors", f"{self.extraction.images + plan.done} of {plan.images} images in the table {plan.table}"),
            *self.champion.as_rows(),
            ("time", seconds if self.searched else f"{seconds}; the search had been finished before"),
            ("report", self.place.report),
            ("MLflow", self.place.how_to_open),
        ]
        return "\n".join([aligned(rows), "", "next:", *(f"  {command}" for command in self.next_commands)])


def run_demo(study: DemoStudy, *, announce: Callable[[str], None]) -> DemoSummary:
    """Make what is missing of the study, its vectors and its search; what stands is left as it is.

    announce is told each step before it begins. Raises TilebankError as the three steps do.
    """
    settings, watch = study.settings, Stopwatch("phantoms", "extraction", "search")
    exams = plan_exams(study.phantoms)
    announce(f"1/3 phantoms: {size_of(study, exams)} at {settings.dataset.root}")
    with watch.part("phantoms"), progress_bar("phantoms", unit="image", total=count_images(exams), leave=False) as bar:
        written = write_phantoms(settings.dataset.root, study.phantoms, compress=study.full, progress=bar.update)
    announce(f"2/3 extraction: every view and its tiles through the encoder {settings.encoder.name}")
    with watch.part("extraction"):
        extracted = extract(settings)
    announce(f"3/3 search: {settings.search.trials} heads for {TASK}, one evaluation on test")
    with watch.part("search"):
        opened = open_study(settings, task=TASK)
        search = search_run(settings, opened, task=TASK)
        found = _recorded(search)
        searched = found is None
        run, place = found or _search(search)
    return DemoSummary(
        written,
        extracted,
        champion=_champion(run, trials=settings.search.trials),
        searched=searched,
        place=place,
        next_commands=_next_commands(study, opened),
        times=watch.parts,
    )


def _search(search: SearchRun) -> tuple[RecordedRun, RunPlace]:
    summary = tune_head(search.settings, task=search.task)
    (run,) = [run for run in _runs(search) if run.run_id == summary.run_id]
    return run, summary.place


def _recorded(search: SearchRun) -> tuple[RecordedRun, RunPlace] | None:
    """The finished run of the same search whose report is still there; None where there is none."""
    for run in _runs(search):
        place = find_place(search.settings.tracking, run.run_id)
        if not is_local(place.report) or exists(place.report):
            return run, place
    return None


def _runs(search: SearchRun) -> list[RecordedRun]:
    experiment = experiment_name(search.settings.dataset.name, task=search.task)
    return find_runs(search.settings.tracking, experiment, tags={SEARCH: search.key})


def _champion(run: RecordedRun, *, trials: int) -> Champion:
    found = run.metrics
    return Champion(
        trials=trials,
        seed=int(found["champion_seed"]),
        val_auc=found["val_auc"],
        test_auc=found["test_auc"],
        test_auc_low=found["test_auc_low"],
        test_auc_high=found["test_auc_high"],
        test_breasts=int(found["test_breasts"]),
        test_patients=int(found["test_patients"]),
        test_positives=int(found["test_positives"]),
    )


def _next_commands(study: DemoStudy, opened: LabelledStudy) -> tuple[str, ...]:
    """Three things to try: another task, the champion's maps of one test exam, a study of one's own."""
    exam = opened.rows[Split.TEST][0].exam_id
    return (
        f"tilebank tune {study.flags} --task calcification",
        f"tilebank explain {study.flags} --task {TASK} --exam {exam}",
        "tilebank init mystudy --root /path/to/dicoms --labels labels.csv",
    )
