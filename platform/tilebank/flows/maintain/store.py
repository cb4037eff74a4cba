"""Maintain a store: list, verify, compact, index, drop and clean its tables. Needs no Ray."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from tilebank.errors import ConfigError
from tilebank.flows.maintain.request import Request
from tilebank.flows.reporting.job import aligned
from tilebank.flows.settings.settings import Settings
from tilebank.store.inventory import StoredTable, list_tables
from tilebank.store.maintenance import (
    KEPT_FOR,
    Target,
    Upkeep,
    clean_tables,
    compact_tables,
    drop_fingerprint,
    index_tables,
)
from tilebank.store.verify import Verified, verify_instances


@dataclass(frozen=True)
class Inventory:
    """The tables of a store."""

    store: str
    tables: Sequence[StoredTable]

    def as_dict(self) -> dict[str, object]:
        """JSON values."""
        return asdict(self)

    def as_text(self) -> str:
        """A block a table."""
        blocks = [f"{table.name}\n{aligned(_table_lines(table))}" for table in self.tables]
        return "\n".join(blocks) or f"{self.store} holds no tables"


@dataclass(frozen=True)
class Verdict:
    """Whether a table is whole."""

    verified: Verified

    @property
    def failed(self) -> bool:
        """Something is wrong."""
        return bool(self.verified.problems)

    def as_dict(self) -> dict[str, object]:
        """JSON values."""
        return asdict(self.verified)

    def as_text(self) -> str:
        """What was read, then a line a problem."""
        seen = self.verified
        rows = [
            ("table", f"{seen.table}, version {seen.version}"),
            ("fingerprints", ", ".join(seen.fingerprints) or "none"),
        ]
        rows += [(name, str(getattr(seen, name))) for name in ("images", "instances", "failures")]
        problems = [f"{each.count} x {each.what}: {', '.join(each.named)}" for each in seen.problems]
        return "\n".join([aligned(rows), *(problems or ["no problems found"])])


@dataclass(frozen=True)
class UpkeepSummary:
    """What was done to the tables and searches, or would be done."""

    action: str
    upkeep: Sequence[Upkeep]
    asked: bool

    @property
    def failed(self) -> bool:
        """It was asked for and not done, since --yes is missing."""
        return self.asked

    def as_dict(self) -> dict[str, object]:
        """JSON values."""
        return {"action": self.action, "tables": [asdict(each) for each in self.upkeep]}

    def as_text(self) -> str:
        """A block a table."""
        did = self.action if self.upkeep and self.upkeep[0].done else f"{self.action} would"
        blocks = [f"{each.table} ({did})\n{_figures(each.figures)}" for each in self.upkeep]
        return "\n".join([*blocks, *(["nothing was deleted; add --yes to do it"] if self.asked else [])])


def maintain(settings: Settings, request: Request) -> Inventory | Verdict | UpkeepSummary:
    """Do one action of ACTIONS. Raises StoreError, also while another process writes the table."""
    if request.action == "list":
        return Inventory(settings.store, list_tables(settings.store))
    dataset, encoder = settings.dataset.name, settings.encoder
    if request.action == "verify":
        unit, views = encoder.l2_normalise, not settings.dataset.made_elsewhere
        return Verdict(verify_instances(settings.store, dataset, encoder=encoder.name, unit_norm=unit, views=views))
    asked = request.action == "drop" and not request.yes and not request.plan
    target = Target(settings.store, dataset, encoder.name, plan=request.plan or asked)
    return UpkeepSummary(request.action, _upkeep(settings, target, request), asked)


def _upkeep(settings: Settings, target: Target, request: Request) -> list[Upkeep]:
    if request.action == "compact":
        return compact_tables(target)
    if request.action == "index":
        return index_tables(target)
    if request.action == "clean":
        from tilebank.flows.search.cleanup import clean_searches  # seconds of imports that other actions need not pay

        age = KEPT_FOR if request.older_than is None else request.older_than
        return [*clean_tables(target, older_than=age), *clean_searches(settings, older_than=age, plan=target.plan)]
    if not request.fingerprint:
        raise ConfigError("drop needs --fingerprint F; `tilebank store list` shows them")
    return drop_fingerprint(target, request.fingerprint)


def _table_lines(table: StoredTable) -> list[tuple[str, str]]:
    rows = [
        ("  rows", f"{table.rows}" + (f" of {table.dim} values" if table.dim else "")),
        ("  on disk", f"{table.bytes / 1e6:.1f} MB, {table.versions} versions, the newest {table.version}"),
        ("  licence", f"{table.licence or 'not stated'}, redistributable: {table.redistributable or 'not stated'}"),
    ]
    rows += [
        (
            f"  {one.fingerprint}",
            f"{one.images} images, {one.tiles} tiles" if one.images else f"{one.tiles} tiles alone",
        )
        for one in table.extracted
    ]
    return [*rows, *([("  lease", table.holder)] if table.holder else [])]


def _figures(figures: Mapping[str, int | str]) -> str:
    return aligned([(f"  {name}", str(value)) for name, value in figures.items()]) if figures else "  nothing"
