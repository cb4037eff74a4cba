"""Search several heads in turn on the same vectors, labels and splits, and tabulate their champions.

Each search is recorded on its own, and its champion is evaluated once.
"""

from dataclasses import dataclass

from tilebank.errors import ConfigError
from tilebank.flows.search.record import SearchSummary
from tilebank.flows.search.tune import forget_search, tune_resumably
from tilebank.flows.settings.settings import Settings
from tilebank.mil.heads.registry import HeadConfig
from tilebank.tracking.places import REPORT


@dataclass(frozen=True)
class AblationSummary:
    """The searches of several heads, in the order of the settings' list."""

    heads: dict[str, HeadConfig]
    searches: tuple[SearchSummary, ...]

    def as_dict(self) -> dict[str, object]:
        """JSON values."""
        return {"searches": [search.as_dict() for search in self.searches], "table": self.as_table()}

    def as_table(self) -> str:
        """Markdown: a row a head, with test figures of its champion and their intervals."""
        shown = list(self.searches[0].evaluation.as_columns())
        names = ["head", "views by", "tiles by", "pooled in", "validation AUC", *shown]
        rows = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
        for search in self.searches:
            head, figures = self.heads[search.head], search.evaluation.as_columns()
            cells = [
                f"`{search.head}`",
                head.views_by,
                head.tiles_by,
                "fitting" if head.fitted_on == "breast" else "inference only",
                f"{search.evaluation.val_auc:.3f}",
                *(figures[name].as_text() for name in shown),
            ]
            rows.append(f"| {' | '.join(cells)} |")
        return "\n".join(rows)

    def as_text(self) -> str:
        """What was searched on, and the table."""
        first = self.searches[0]
        seconds = sum(search.wall_s for search in self.searches)
        return "\n".join(
            [
                f"{first.dataset}, {first.task}: {len(self.searches)} heads x {len(first.val_aucs)} trials on"
                f" {first.encoder} (fingerprint {first.fingerprint}, table version {first.table_version})",
                self.as_table(),
                f"time: {seconds:.1f} s",
                f"reports: {REPORT} of each run; MLflow: {first.place.how_to_open}",
            ]
        )


def tune_heads(settings: Settings, *, task: str) -> AblationSummary:
    """Search every head of `settings.heads` for `task`; killed and started again, it resumes.

    Raises TilebankError as `tune_head` does.
    """
    if not settings.heads:
        raise ConfigError("the search lists no heads; list them under search.heads, or name one with --head")
    searches = tuple(tune_resumably(settings.with_head(name), task=task) for name in settings.heads)
    for search in searches:
        forget_search(settings, search)
    return AblationSummary(dict(settings.heads), searches)
