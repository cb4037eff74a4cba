"""Which files each tool writes, in words; layouts.py finds them."""

from collections.abc import Mapping

LAYOUT_FILES: Mapping[str, str] = {
    "trident": "features_<encoder>/<slide>.h5 with features and coords",
    "clam": "h5_files/<slide>.h5 with features and coords",
    "stamp": "<slide>.h5 with feats, and coords in micrometres",
    "torchmil": "features/<bag>.npy or .h5, beside coords/<bag>",
    "h5": "one file with a group a slide, of feat and coords",
}
