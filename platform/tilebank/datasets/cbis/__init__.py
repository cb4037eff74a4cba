"""CBIS-DDSM: digitised film, from the owner's tables."""
