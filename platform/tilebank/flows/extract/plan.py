"""Plan an extraction: the images of the manifest that are neither stored nor failed. Writes nothing."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from tilebank.datasets.contract import Manifest
from tilebank.datasets.intake import IntakeConfig, would_include
from tilebank.flows.engine.pipelines import read_manifest
from tilebank.flows.extract.cost import Estimate, estimate
from tilebank.flows.reporting.job import aligned
from tilebank.flows.settings.settings import Settings
from tilebank.store.tables import Instances, Store
from tilebank.terms import FailureRow, ManifestRow

OUTSIDE = ("read", "identify")  # stages of failures that lie in what surrounds an image, not in its pixels
FILTER = "filter"  # the stage of an image that is fit for use, but not asked for


@dataclass(frozen=True)
class ExtractionPlan:
    """What is there and what is to be done, by image."""

    dataset: str
    encoder: str
    fingerprint: str
    table: str
    images: int
    done: int
    failed_before: int
    pending: tuple[ManifestRow, ...]
    refused: tuple[FailureRow, ...]
    filtered: tuple[FailureRow, ...]
    failures_to_retry: frozenset[str]
    estimate: Estimate | None = None

    def as_dict(self) -> dict[str, object]:
        """JSON values; rows as counts."""
        counts = {name: len(getattr(self, name)) for name in ("pending", "refused", "filtered", "failures_to_retry")}
        return asdict(self) | counts | {"estimate": self.estimate.as_dict() if self.estimate else None}

    def as_text(self) -> str:
        """Counts by state."""
        rows = [
            ("dataset / encoder", f"{self.dataset} / {self.encoder}"),
            ("fingerprint", self.fingerprint),
            ("table", self.table),
            ("images", str(self.images)),
            ("  done", str(self.done)),
            (
                "  failed before",
                f"{self.failed_before}" + (" (--retry-failed tries them again)" if self.failed_before else ""),
            ),
            ("  new", str(len(self.pending))),
            ("not asked for (conf intake)", _by_class(self.filtered)),
            ("refused (no side, no view, damaged, ...)", _by_class(self.refused)),
        ]
        return aligned([*rows, *(self.estimate.as_rows() if self.estimate else [])])


def plan_extraction(settings: Settings, *, limit: int | None = None, retry_failed: bool = False) -> ExtractionPlan:
    """What an extraction would do and cost. Reads the manifest, the store and a few images; writes nothing.

    limit: take no more than this many pending images, in manifest order. retry_failed: failed images are pending too.
    """
    table = Store(settings.store).find_instances(settings.dataset.name, settings.encoder.name)
    plan = plan_of(settings, table, manifest=read_manifest(settings), limit=limit, retry_failed=retry_failed)
    return replace(plan, estimate=estimate(settings, plan.pending))


def plan_of(
    settings: Settings, table: Instances | None, *, manifest: Manifest, limit: int | None, retry_failed: bool
) -> ExtractionPlan:
    """The plan against an open table, or none yet."""
    fingerprint = settings.fingerprint
    done = table.done_images(fingerprint) if table else set()
    recorded = table.failed_images(fingerprint) if table else {}
    placed = {row.image_id for row in manifest.images}
    failed = _still_failed(recorded, settings.dataset.intake, placed=placed) - done
    known = done if retry_failed else done | failed
    pending = [row for row in manifest.images if row.image_id not in known][:limit]
    news = [row for row in manifest.failures if retry_failed or row.image_id not in failed]
    return ExtractionPlan(
        dataset=settings.dataset.name,
        encoder=settings.encoder.name,
        fingerprint=fingerprint,
        table=table.uri if table else "none yet",
        images=len(placed),
        done=len(done & placed),
        failed_before=len(failed & placed),
        pending=tuple(pending),
        refused=tuple(row for row in news if row.stage != FILTER),
        filtered=tuple(row for row in news if row.stage == FILTER),
        failures_to_retry=frozenset(row.image_id for row in pending if row.image_id in recorded),
    )


def _still_failed(failed: Mapping[str, str], intake: IntakeConfig, *, placed: Collection[str]) -> set[str]:
    """The images that are not tried again unasked.

    What was filtered and is asked for by now is new. So is a file that could not be fetched or placed, where the
    manifest holds it: it may have come, or been mended, since, and to look costs no decoding.
    """
    stages = {image_id: said.partition("/") for image_id, said in failed.items()}
    return {
        image_id
        for image_id, (stage, _, error_class) in stages.items()
        if not (stage == FILTER and would_include(error_class, intake))
        and not (stage in OUTSIDE and image_id in placed)
    }


def _by_class(rows: Sequence[FailureRow]) -> str:
    """How many, and of which classes: `3 (2 spot, 1 synthetic)`."""
    classes = Counter(row.error_class for row in rows)
    named = ", ".join(f"{count} {name}" for name, count in classes.most_common())
    return f"{len(rows)} ({named})" if named else "0"
