"""Import or export features: check that the request is complete, then do it."""

from dataclasses import dataclass
from pathlib import Path

from tilebank.errors import ConfigError
from tilebank.flows.exchange.export_features import EXPORTS, ExportRequest, ExportSummary, export_features
from tilebank.flows.exchange.import_features import ImportSummary, import_features
from tilebank.flows.exchange.import_plan import ImportPlan, plan_import
from tilebank.flows.settings.settings import Settings
from tilebank.store.exchange.layouts import LAYOUTS
from tilebank.terms import Split

IMPORTS = {name: layout.what for name, layout in LAYOUTS.items()}
SPLITS = tuple(split.value for split in Split)
ACTIONS = ("import", "export")


@dataclass(frozen=True)
class Request:
    """What is asked for: an action of ACTIONS, a source of IMPORTS or a target of EXPORTS, and what they need."""

    action: str
    source: str | None = None
    plan: bool = False
    target: str | None = None
    task: str = ""
    split: str = "train"
    out: Path | None = None
    licence_allows: bool = False


def exchange(settings: Settings, request: Request) -> ImportPlan | ImportSummary | ExportSummary:
    """Do it. Raises TilebankError before any work when something is missing or wrong."""
    if request.action == "import":
        if not request.source:
            raise ConfigError(f"import needs --from LAYOUT, one of {', '.join(IMPORTS)}")
        work = plan_import if request.plan else import_features
        return work(settings, layout=request.source)
    if not request.target or request.out is None:
        raise ConfigError(f"export needs --to LAYOUT, one of {', '.join(EXPORTS)}, and --out FOLDER")
    wanted = ExportRequest(request.target, Split(request.split), request.out, licence_allows=request.licence_allows)
    return export_features(settings, wanted, task=request.task)
