"""Whether home, store, artifacts and the record of runs can be written, and who writes the store's tables now."""

import os
import uuid
from collections.abc import Iterator

from tilebank.datasets.pseudonyms import KEY_VARIABLE, read_key
from tilebank.errors import ConfigError
from tilebank.files import is_local, join_uri, list_files, read_bytes, remove_folder, write_bytes
from tilebank.flows.doctor.check import Check, failed, passed, warned
from tilebank.flows.settings.settings import Settings
from tilebank.store.lease.lease import find_holder
from tilebank.tracking.connection import assert_reachable

PROBE = b"written, read and deleted by tilebank doctor\n"
ELSEWHERE = {
    "home": "set TILEBANK_HOME to a folder that you may write",
    "store": "choose another with --store URI or TILEBANK_STORE",
    "artifacts": "choose another with --set artifacts=URI or TILEBANK_ARTIFACTS",
}


def check_place(name: str, uri: str) -> Iterator[Check]:
    """Write, read and delete a small file below `uri`."""
    folder = join_uri(uri, f"doctor-{uuid.uuid4().hex}")
    try:
        write_bytes(join_uri(folder, "probe"), PROBE)
        found = read_bytes(join_uri(folder, "probe"))
        remove_folder(folder)
    except OSError as error:
        fix = ELSEWHERE[name] + ("" if is_local(uri) else ", or correct endpoint and credentials (AWS_...)")
        yield failed(f"write, {name}", f"{uri}: {error}", fix=fix)
        return
    if found != PROBE:
        yield failed(f"write, {name}", f"{uri} gave back other bytes than were written", fix=ELSEWHERE[name])
    else:
        yield passed(f"write, {name}", uri)


def check_tracking(settings: Settings) -> Iterator[Check]:
    """Whether the record of runs answers, or can be made."""
    uri = settings.tracking
    try:
        told = assert_reachable(uri)
    except Exception as error:  # noqa: BLE001 - MLflow raises what its server, its database or a disk raises
        fix = "correct --tracking or TILEBANK_TRACKING; is the server up?"
        yield failed("tracking", f"{uri}: {error}", fix=fix)
        return
    yield passed("tracking", f"{uri} ({told})")


def check_writers(settings: Settings) -> Iterator[Check]:
    """Leases in the store: a table that is being written is refused to a second writer."""
    try:
        found = list_files(join_uri(settings.store, "leases")).uris
    except OSError:
        found = ()
    names = [uri.rsplit("/", 1)[-1].removesuffix(".json") for uri in found if uri.endswith(".json")]
    holders = {name: find_holder(settings.store, name) for name in names}
    busy = [f"{name} {holder}" for name, holder in holders.items() if holder]
    if busy:
        yield warned("writers", "; ".join(busy), fix="wait for it; a dead writer's lease frees itself in two minutes")
    else:
        left = f"; {len(names)} leases left by ended processes, which the next command takes over" if names else ""
        yield passed("writers", f"no table is being written{left}")


def check_id_key(settings: Settings) -> Iterator[Check]:
    """TILEBANK_ID_KEY, where the dataset replaces ids by a hash."""
    if settings.dataset.ids != "keyed-hash":
        yield passed("id key", f"not needed: dataset {settings.dataset.name} keeps its ids")
        return
    try:
        read_key(os.environ)
    except ConfigError as error:
        yield failed("id key", str(error).partition(";")[0], fix=f"set {KEY_VARIABLE}, the same in every run")
    else:
        yield passed("id key", f"{KEY_VARIABLE} is set")
