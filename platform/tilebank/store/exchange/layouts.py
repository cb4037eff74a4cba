"""List the slides below a root, in each tool's layout of files."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import h5py

from tilebank.errors import DatasetError
from tilebank.files import list_files
from tilebank.storage_errors import storage_reason
from tilebank.store.exchange.array_files import open_h5
from tilebank.store.exchange.layout_files import LAYOUT_FILES
from tilebank.store.exchange.provenance import SlideFile


@dataclass(frozen=True)
class Layout:
    """One tool's files, described in LAYOUT_FILES. keys: names that features may have, the first found is used."""

    keys: tuple[str, ...]
    find: Callable[[str, str], list[SlideFile]]


def list_slides(root: str, *, layout: str, encoder: str) -> list[SlideFile]:
    """The slides below `root`, by id and place. `encoder` chooses where a root holds several encoders' features.

    Raises DatasetError when there is none, with what was looked for.
    """
    try:
        slides = LAYOUTS[layout].find(root, encoder)
    except OSError as error:
        raise DatasetError(f"cannot list {root}: {storage_reason(error, root)}; check --root") from error
    if not slides:
        raise DatasetError(f"nothing below {root} looks like {layout}: {LAYOUT_FILES[layout]}; check --root and --from")
    return sorted(slides, key=lambda slide: (slide.slide_id, slide.uri))


def _trident(root: str, encoder: str) -> list[SlideFile]:
    uris = [uri for uri in _below(root, ".h5") if _folder(uri).startswith("features_")]
    folders = sorted({_folder(uri) for uri in uris})
    if len(folders) > 1 and f"features_{encoder}" not in folders:
        raise DatasetError(
            f"{root} holds features of several encoders, {', '.join(folders)}; name one of them with --encoder, or its"
            " folder with --root"
        )
    return _slides(uri for uri in uris if len(folders) == 1 or _folder(uri) == f"features_{encoder}")


def _clam(root: str, _encoder: str) -> list[SlideFile]:
    uris = list_files(root).uris
    found = [uri for uri in uris if uri.endswith(".h5") and _folder(uri) == "h5_files"]
    if not found and any(uri.endswith(".pt") for uri in uris):
        raise DatasetError(
            f"{root} holds pt_files and no h5_files: .pt files are pickles, which may run code, and are not read; give"
            " the folder of CLAM's h5_files, which its extraction writes beside them"
        )
    return _slides(found)


def _stamp(root: str, _encoder: str) -> list[SlideFile]:
    return _slides(_below(root, ".h5"))


def _torchmil(root: str, _encoder: str) -> list[SlideFile]:
    uris = _below(root, ".npy", ".h5")
    coords = {_slide_id(uri): uri for uri in uris if _folder(uri) == "coords"}
    features = [uri for uri in uris if _folder(uri) == "features"]
    return [SlideFile(_slide_id(uri), uri, coords_uri=coords.get(_slide_id(uri), "")) for uri in features]


def _single(root: str, _encoder: str) -> list[SlideFile]:
    files = [root] if root.endswith((".h5", ".hdf5")) else _below(root, ".h5", ".hdf5")
    if len(files) > 1:
        raise DatasetError(f"{root} holds {len(files)} h5 files; name one of them with --root")
    return [slide for uri in files for slide in _groups(uri)]


def _groups(uri: str) -> list[SlideFile]:
    try:
        with open_h5(uri) as file:
            return [SlideFile(name, uri, group=name) for name, held in file.items() if isinstance(held, h5py.Group)]
    except (OSError, RuntimeError) as error:
        raise DatasetError(f"cannot read {uri}: {storage_reason(error, uri)}; is it a whole HDF5 file?") from error


LAYOUTS: Mapping[str, Layout] = {
    "trident": Layout(("features",), _trident),
    "clam": Layout(("features",), _clam),
    "stamp": Layout(("feats", "patch_embeddings"), _stamp),
    "torchmil": Layout(("features",), _torchmil),
    "h5": Layout(("feat", "features", "feats"), _single),
}


def _below(root: str, *suffixes: str) -> Sequence[str]:
    return [uri for uri in list_files(root).uris if uri.endswith(suffixes)]


def _slides(uris: Iterable[str]) -> list[SlideFile]:
    return [SlideFile(_slide_id(uri), uri) for uri in uris]


def _slide_id(uri: str) -> str:
    return PurePosixPath(uri).stem


def _folder(uri: str) -> str:
    return PurePosixPath(uri).parent.name
