"""Map the free text of the Manufacturer tag to a known manufacturer.

Manufacturer is a free text, and people write anything into it: a name goes further only as one that is listed here.
"""

import re

OTHER_MANUFACTURER = "other"
# Maker -> what its names hold, as whole words: old names, owners and trade names included.
MANUFACTURERS: dict[str, tuple[str, ...]] = {
    "Hologic": ("hologic", "lorad"),
    "GE": ("ge", "gehc", "gems", "general electric", "instrumentarium"),
    "Siemens": ("siemens",),
    "Fujifilm": ("fujifilm", "fuji"),
    "Philips": ("philips",),
    "Sectra": ("sectra",),
    "Planmed": ("planmed",),
    "IMS Giotto": ("ims", "i m s", "giotto", "internazionale medico scientifica"),
    "Metaltronica": ("metaltronica",),
    "Carestream": ("carestream", "kodak"),
    "Agfa": ("agfa",),
    "Konica Minolta": ("konica", "minolta", "konicaminolta"),
    "Canon": ("canon", "toshiba"),
    "Samsung": ("samsung",),
    "Shimadzu": ("shimadzu",),
    "Fischer": ("fischer imaging",),
    "Villa Sistemi Medicali": ("villa sistemi medicali",),
    "General Medical Merate": ("general medical merate", "gmm"),
    "Genoray": ("genoray",),
    "Drtech": ("drtech",),
    "Hamamatsu": ("hamamatsu",),
    "iCAD": ("icad",),
    "ICRco": ("icrco", "icrcompany"),
    # the phantom's invented ones
    "Aster Imaging": ("aster imaging",),
    "Borealis Medical": ("borealis medical",),
    "Cobalt Radiography": ("cobalt radiography",),
    "Dune X-ray": ("dune x ray",),
}
_WORD = re.compile("[a-z0-9]+")


def manufacturer_of(text: str) -> str:
    """The known maker that Manufacturer names; `other` for any other text, empty where it is empty."""
    words = f" {' '.join(_WORD.findall(text.lower()))} "
    named = (maker for maker, names in MANUFACTURERS.items() if any(f" {name} " in words for name in names))
    return next(named, OTHER_MANUFACTURER) if text.strip() else ""
