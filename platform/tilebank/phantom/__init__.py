"""Write a synthetic study: mammograms with known lesions, as DICOM files and truth tables."""
