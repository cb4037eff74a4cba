"""Pure pixels: a DICOM file becomes a Mammogram, a mask, a tile plan and tiles. Knows nothing of Ray or Lance."""
