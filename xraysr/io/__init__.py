"""Films in and out of files: PNG, JPEG and TIFF in 8 and 16 bit, and DICOM. No TensorFlow."""

from xraysr.io.formats import IMAGE_SUFFIXES, read, read_frames, strip_writer, write
from xraysr.io.kind import READABLE, kind_of
from xraysr.io.radiograph import Notice, Provenance, Radiograph

__all__ = [
    "IMAGE_SUFFIXES",
    "Notice",
    "Provenance",
    "READABLE",
    "Radiograph",
    "kind_of",
    "read",
    "read_frames",
    "strip_writer",
    "write",
]
