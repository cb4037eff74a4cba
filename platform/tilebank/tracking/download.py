"""Download a registered head by name, alias or version."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tilebank.errors import TrackingError
from tilebank.tracking.connection import as_tracking_error, has_record, open_client
from tilebank.tracking.registry import CHAMPION


@dataclass(frozen=True)
class FetchedHead:
    """A registered head as files of this machine. folder: where they lie; aliases: what it is called there."""

    name: str
    version: str
    aliases: tuple[str, ...]
    folder: Path


def fetch_head(uri: str, wanted: str, *, into: Path) -> FetchedHead:
    """Copy a registered head into the folder `into`: `name` (its champion), `name@alias` or `name/version`.

    Makes no database. Raises TrackingError, naming what there is, for one that is not registered.
    """
    if not has_record(uri):
        raise TrackingError(f"there is no run record at {uri}; search a head with tilebank tune, or name --tracking")
    with as_tracking_error(f"cannot fetch head {wanted} from {uri}", advice="is --tracking right?"):
        import mlflow

        version = _find_version(open_client(uri), wanted, uri=uri)
        files = mlflow.artifacts.download_artifacts(version.source, dst_path=str(into))
    cards = sorted(Path(files).rglob("head.json"))
    if len(cards) != 1:
        raise TrackingError(
            f"{version.name}, version {version.version} in {uri} is not a Tilebank head; choose another"
        )
    return FetchedHead(version.name, str(version.version), tuple(version.aliases), cards[0].parent)


def _find_version(client: Any, wanted: str, *, uri: str) -> Any:
    """The version that `wanted` names. Raises TrackingError with the names, versions and aliases that there are."""
    name, _, number = wanted.partition("/")
    name, _, alias = name.partition("@")
    models = {model.name: model for model in client.search_registered_models(max_results=1000)}
    if name not in models:
        known = ", ".join(sorted(models)) or "none; search one with tilebank tune"
        raise TrackingError(f"no head is registered as {name!r} in {uri}; registered: {known}")
    versions = {str(one.version): one for one in client.search_model_versions(f"name = '{name}'")}
    aliases = {key: str(value) for key, value in models[name].aliases.items()}
    chosen = number or aliases.get(alias or CHAMPION, "")
    if chosen not in versions:
        raise TrackingError(
            f"{name} has no {f'version {number}' if number else f'alias {alias or CHAMPION}'} in {uri}; versions:"
            f" {', '.join(sorted(versions, key=int))}; aliases: {', '.join(sorted(aliases)) or 'none'}; write it as"
            f" {name}/VERSION or {name}@ALIAS"
        )
    return client.get_model_version(name, chosen)
