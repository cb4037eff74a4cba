"""Find an encoder's weights and identify them: by a pinned commit of the hub, or by a hash of a folder's files."""

import hashlib
import re
from functools import cache
from pathlib import Path

from tilebank.encoders.contract import EncoderConfig
from tilebank.errors import EncoderError

COMMIT = re.compile(r"[0-9a-f]{40}")


def checkpoint_of(config: EncoderConfig) -> str:
    """The hub id or folder to load from. Raises EncoderError where there is none, or where a hub id is not pinned."""
    if not config.checkpoint and config.source:
        raise EncoderError(_how_to_convert(config))
    if not config.checkpoint:
        raise EncoderError(f"encoder {config.name} names no checkpoint; set encoder.checkpoint to a hub id or a folder")
    if folder_of(config) is not None:
        return str(folder_of(config))
    if config.checkpoint[0] in "/.~" or config.checkpoint.count("/") > 1:
        raise EncoderError(f"encoder {config.name}: there is no folder {config.checkpoint}; correct encoder.checkpoint")
    if config.revision is None or not COMMIT.fullmatch(config.revision):
        raise EncoderError(
            f"encoder {config.name}: {config.checkpoint} is not a folder here, and as a hub id it is not pinned"
            f" (revision {config.revision}); set encoder.revision to the full commit, 40 hexadecimal digits, from the"
            " model's page"
        )
    return config.checkpoint


def source_of(config: EncoderConfig) -> tuple[str, str]:
    """Hub id and path in it of `source`. Raises EncoderError where it is no such thing."""
    parts = (config.source or "").split("/")
    if len(parts) < 3 or not all(parts):
        raise EncoderError(
            f"encoder {config.name}: source {config.source!r} is not owner/model/path of a pickled file on the hub"
        )
    return "/".join(parts[:2]), "/".join(parts[2:])


def folder_of(config: EncoderConfig) -> Path | None:
    """The checkpoint as a folder of this machine, or None where it is a hub id."""
    path = Path(config.checkpoint or "").expanduser()
    return path if config.checkpoint and path.is_dir() else None


def weights_identity(config: EncoderConfig) -> dict[str, str]:
    """Identify the weights: by hub id and commit, or by the SHA-256 of a folder's config and weights.

    Raises EncoderError as `checkpoint_of` does, and for a folder without safetensors.
    """
    checkpoint = checkpoint_of(config)
    folder = folder_of(config)
    if folder is None:
        return {"hub_id": checkpoint, "revision": str(config.revision)}
    weights = sorted(path for path in folder.iterdir() if ".safetensors" in path.suffixes)
    if not weights or not (folder / "config.json").is_file():
        raise EncoderError(
            f"encoder {config.name}: {folder} does not hold config.json and *.safetensors; "
            "save the model there with save_pretrained (pickled weights are not read)"
        )
    digest = hashlib.sha256()
    for path in (folder / "config.json", *weights):
        status = path.stat()
        content = _digest_of(path, size=status.st_size, changed_ns=status.st_mtime_ns)
        digest.update(f"{path.name} {content}\n".encode())
    return {"sha256": digest.hexdigest()}


@cache
def _digest_of(path: Path, *, size: int, changed_ns: int) -> str:  # noqa: ARG001 - they tell a changed file
    """SHA-256 of a file, computed once a process: weights take seconds a gigabyte."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _how_to_convert(config: EncoderConfig) -> str:
    """One sentence: the weights are a pickle, which is not loaded, and the way from it to a checkpoint that is."""
    hub_id, path = source_of(config)
    return (
        f"encoder {config.name}: {hub_id} was published as a pickle, which is never loaded; fetch it with `hf download"
        f" {hub_id} {path} --revision {config.revision}`, run `tilebank convert --encoder"
        f" {config.name} --file FILE --folder FOLDER` once, and add `--set encoder.checkpoint=FOLDER`"
    )
