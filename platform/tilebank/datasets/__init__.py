"""Dataset adapters, labels and splits, from tables and DICOM headers."""
