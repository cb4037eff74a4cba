"""DICOM bytes to stored values and checked headers; presentation states out."""
