"""Import or export features: check that the request is complete, then do it."""

from tilebank.errors import ConfigError
from tilebank.flows.exchange.export_features import ExportRequest, ExportSummary, export_features
from tilebank.flows.exchange.import_features import ImportSummary, import_features
from tilebank.flows.exchange.import_plan import ImportPlan, plan_import
from tilebank.flows.exchange.request import EXPORTS, IMPORTS, Request
from tilebank.flows.settings.settings import Settings
from tilebank.terms import Split


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
