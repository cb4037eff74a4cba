"""The header record of a plain mammogram, which tests change where they differ (`dataclasses.replace`)."""

from tilebank.terms import ImageHeader, ImageKind

HEADER = ImageHeader(
    sop_instance_uid="2.25.1",
    patient_id="P1",
    study_uid="2.25.2",
    accession_number="A1",
    laterality="L",
    laterality_from="ImageLaterality",
    view="CC",
    view_from="ViewPosition",
    conflict="",
    kind=ImageKind.FFDM,
    special=(),
    sop_class="1.2.840.10008.5.1.4.1.1.1.2",
    transfer_syntax="1.2.840.10008.1.2.1",
    modality="MG",
    manufacturer="Aster Imaging",
    photometric="MONOCHROME2",
    rows=0,
    columns=0,
    frames=1,
    samples=1,
    bits_allocated=16,
    bits_stored=12,
    high_bit=11,
    signed=False,
    intensity="linear",
    windows=1,
    spacing_mm=None,
    warnings=(),
)
