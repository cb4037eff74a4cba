"""One search after another, head by head, on the same vectors, labels and splits, and one table of their champions.

Every search is recorded as it would be alone, its champion evaluated once; the table decides nothing.
"""

from dataclasses import dataclass

from tilebank.errors import ConfigError
from tilebank.flows.record import SearchSummary
from tilebank.flows.settings import Settings
from tilebank.flows.tune import forget_search, tune_resumably
from tilebank.mil.heads import HeadConfig


@dataclass(frozen=True)
class AblationSummary:
    """The searches of several heads, in the order of the settings' list."""

    heads: dict[str, HeadConfig]
    searches: tuple[SearchSummary, ...]

    @property
    def failed(self) -> bool:
        """A search that failed has raised."""
        return False

    def as_dict(self) -> dict[str, object]:
        """JSON values."""
        return {"searches": [search.as_dict() for search in self.searches], "table": self.as_table()}

    def as_table(self) -> str:
        """Markdown: a row a head, with test figures of its champion and their intervals."""
        rows = [
            "| head | views by | tiles by | pooled in | validation AUC | test AUC | Spec@Sens=0.9 |",
            "|---|---|---|---|---|---|---|",
        ]
        for search in self.searches:
            head, figures = self.heads[search.head], search.evaluation.as_metrics()
            cells = [
                f"`{search.head}`",
                head.view_pooling,
                head.tile_pooling,
                "fitting" if head.training == "breast" else "inference only",
                f"{figures['val_auc']:.3f}",
                _with_interval(figures, "test_auc"),
                _with_interval(figures, "test_spec_at_sens"),
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
            ]
        )


def tune_heads(settings: Settings, *, task: str) -> AblationSummary:
    """Search every head of `settings.heads` for `task`; killed and asked for again, it goes on where it stood.

    Raises TilebankError as `tune_head` does.
    """
    if not settings.heads:
        raise ConfigError("the search names no heads; list them under search.heads, or search the one of --head")
    searches = tuple(tune_resumably(settings.with_head(name), task=task) for name in settings.heads)
    for search in searches:
        forget_search(settings, search)
    return AblationSummary(dict(settings.heads), searches)


def _with_interval(figures: dict[str, float], name: str) -> str:
    return f"{figures[name]:.3f} ({figures[f'{name}_low']:.3f} to {figures[f'{name}_high']:.3f})"
