"""DICOM's unique identifiers in words: object classes and transfer syntaxes (PS3.6 annex A)."""

_CLASS = "1.2.840.10008.5.1.4.1.1."
_SYNTAX = "1.2.840.10008.1.2"

OBJECT_CLASSES = {
    f"{_CLASS}1.2": "Digital Mammography, For Presentation",
    f"{_CLASS}1.2.1": "Digital Mammography, For Processing",
    f"{_CLASS}13.1.3": "Breast Tomosynthesis",
    f"{_CLASS}13.1.4": "Breast Projection, For Presentation",
    f"{_CLASS}13.1.5": "Breast Projection, For Processing",
    f"{_CLASS}1": "Computed Radiography",
    f"{_CLASS}1.1": "Digital X-Ray, For Presentation",
    f"{_CLASS}1.1.1": "Digital X-Ray, For Processing",
    f"{_CLASS}2": "CT",
    f"{_CLASS}4": "MR",
    f"{_CLASS}6.1": "Ultrasound",
    f"{_CLASS}7": "Secondary Capture",
    f"{_CLASS}7.1": "Secondary Capture, multi-frame single bit",
    f"{_CLASS}7.2": "Secondary Capture, multi-frame 8 bit",
    f"{_CLASS}7.3": "Secondary Capture, multi-frame 16 bit",
    f"{_CLASS}7.4": "Secondary Capture, multi-frame colour",
    f"{_CLASS}11.1": "Grayscale Softcopy Presentation State",
    f"{_CLASS}66": "Raw Data",
    f"{_CLASS}66.4": "Segmentation",
    f"{_CLASS}88.11": "Basic Text Report",
    f"{_CLASS}88.22": "Enhanced Structured Report",
    f"{_CLASS}88.33": "Comprehensive Structured Report",
    f"{_CLASS}88.50": "Mammography CAD Report",
    f"{_CLASS}88.59": "Key Object Selection",
    f"{_CLASS}88.67": "X-Ray Radiation Dose Report",
    f"{_CLASS}104.1": "Encapsulated PDF",
}

TRANSFER_SYNTAXES = {
    _SYNTAX: "Implicit VR Little Endian",
    f"{_SYNTAX}.1": "Explicit VR Little Endian",
    f"{_SYNTAX}.1.99": "Deflated Explicit VR Little Endian",
    f"{_SYNTAX}.2": "Explicit VR Big Endian",
    f"{_SYNTAX}.5": "RLE Lossless",
    f"{_SYNTAX}.4.50": "JPEG Baseline",
    f"{_SYNTAX}.4.51": "JPEG Extended",
    f"{_SYNTAX}.4.57": "JPEG Lossless",
    f"{_SYNTAX}.4.70": "JPEG Lossless, First-Order Prediction",
    f"{_SYNTAX}.4.80": "JPEG-LS Lossless",
    f"{_SYNTAX}.4.81": "JPEG-LS Near-Lossless",
    f"{_SYNTAX}.4.90": "JPEG 2000 Lossless",
    f"{_SYNTAX}.4.91": "JPEG 2000",
    f"{_SYNTAX}.4.201": "HTJ2K Lossless",
    f"{_SYNTAX}.4.202": "HTJ2K Lossless, RPCL",
    f"{_SYNTAX}.4.203": "HTJ2K",
}


def object_class_name(uid: str) -> str:
    """The class in words; a private or rare one stays as it is."""
    return OBJECT_CLASSES.get(uid, uid)


def transfer_syntax_name(uid: str) -> str:
    """The syntax in words; a private or rare one stays as it is."""
    return TRANSFER_SYNTAXES.get(uid, uid)
