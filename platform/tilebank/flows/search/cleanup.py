"""Searches that were killed or failed and never taken up again: their packs go, and their runs end. Needs no Ray."""

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
    """Give up what the searches of a dataset and encoder have left, where nothing was written to it for this long.

    A search that is under way is left alone; one that was given up begins anew when it is asked for again. plan: say
    which, and do nothing. Raises TrackingError and StoreError.
    """
    found = find_searches(settings.tracking, settings.dataset.name, encoder=settings.encoder.name)
    found.sort(key=lambda run: run.search)  # stays in the order of time within a search
    left = [_Left(folder_of(settings, key), tuple(runs)) for key, runs in groupby(found, key=lambda run: run.search)]
    now = datetime.now(UTC)
    gone = [each for each in left if each.is_something and now - each.last_sign >= older_than and not each.is_held]
    said = [Upkeep(each.name, not plan, each.figures) for each in gone]
    if not plan:
        for each in gone:
            each.give_up(settings.tracking)
    return said


@dataclass(frozen=True)
class _Left:
    """What a search has left, and its runs, oldest first."""

    folder: SearchFolder
    runs: Sequence[RecordedSearch]

    @property
    def running(self) -> list[RecordedSearch]:
        return [run for run in self.runs if run.running]

    @property
    def is_something(self) -> bool:
        return bool(self.running) or exists(self.folder.uri)

    @property
    def is_held(self) -> bool:
        return bool(find_holder(self.folder.uri, LEASE))

    @property
    def last_sign(self) -> datetime:
        """When an attempt was last seen: its lease is renewed as long as it lives."""
        return self.folder.last_written or self.runs[-1].started

    @property
    def name(self) -> str:
        return f"search {self.runs[-1].search} ({self.runs[-1].task}, {self.runs[-1].head})"

    @property
    def figures(self) -> dict[str, int | str]:
        return {"last sign of life": f"{self.last_sign:%Y-%m-%d %H:%M} UTC", "runs that never ended": len(self.running)}

    def give_up(self, tracking: str) -> None:
        with hold_lease(self.folder.uri, LEASE, what=f"the {self.name}"):
            for run in self.running:
                end_search(tracking, run.run_id)
            self.folder.remove()
