"""CBIS-DDSM: digitised film, described by the owner's tables."""
