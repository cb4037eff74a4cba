"""Clean up searches that were killed or failed and never resumed: remove their packs and end their runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby

from tilebank.files import exists
from tilebank.flows.search.packs import SearchFolder
from tilebank.flows.search.resume import LEASE, folder_of
from tilebank.flows.settings.settings import Settings
from tilebank.store.lease.lease import find_holder, hold_lease
from tilebank.store.maintenance import Upkeep
from tilebank.tracking.searches import RecordedSearch, end_search, find_searches


def clean_searches(settings: Settings, *, older_than: timedelta, plan: bool) -> list[Upkeep]:
    """Remove what unfinished searches of a dataset and encoder have left, where nothing was written for this long.

    A running search is left alone; one that was removed starts from scratch when it is run again. plan: only list them.
    Raises TrackingError and StoreError.
    """
    found = find_searches(settings.tracking, settings.dataset.name, encoder=settings.encoder.name)
    found.sort(key=lambda run: run.search)  # stays in the order of time within a search
    left = [
        _Leftover(folder_of(settings, key), tuple(runs)) for key, runs in groupby(found, key=lambda run: run.search)
    ]
    now = datetime.now(UTC)
    gone = [each for each in left if each.is_left and now - each.last_sign >= older_than and not each.is_held]
    said = [Upkeep(each.name, not plan, each.figures) for each in gone]
    if not plan:
        for each in gone:
            each.remove(settings.tracking)
    return said


@dataclass(frozen=True)
class _Leftover:
    """The files and runs of an unfinished search, oldest run first."""

    folder: SearchFolder
    runs: Sequence[RecordedSearch]

    @property
    def running(self) -> list[RecordedSearch]:
        return [run for run in self.runs if run.running]

    @property
    def is_left(self) -> bool:
        return bool(self.running) or exists(self.folder.uri)

    @property
    def is_held(self) -> bool:
        return bool(find_holder(self.folder.uri, LEASE))

    @property
    def last_sign(self) -> datetime:
        """When the search last wrote anything; its lease is renewed as long as it runs."""
        return self.folder.last_written or self.runs[-1].started

    @property
    def name(self) -> str:
        return f"search {self.runs[-1].search} ({self.runs[-1].task}, {self.runs[-1].head})"

    @property
    def figures(self) -> dict[str, int | str]:
        return {"last written": f"{self.last_sign:%Y-%m-%d %H:%M} UTC", "unfinished runs": len(self.running)}

    def remove(self, tracking: str) -> None:
        with hold_lease(self.folder.uri, LEASE, what=f"the {self.name}"):
            for run in self.running:
                end_search(tracking, run.run_id)
            self.folder.remove()
