"""DICOM: files to stored values and checked headers, boxes to presentation states."""
