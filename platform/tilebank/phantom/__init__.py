"""A study that is made, not found: synthetic mammograms with a known truth, as real DICOM files. Reads nothing back."""
