"""Films in and out of files: PNG, JPEG and TIFF in 8 and 16 bit, and DICOM. No TensorFlow."""

from xraysr.io.formats import IMAGE_SUFFIXES, read, read_frames, strip_writer, write
from xraysr.io.provenance import Provenance
from xraysr.io.radiograph import Radiograph

__all__ = [
    "IMAGE_SUFFIXES",
    "Provenance",
    "Radiograph",
    "read",
    "read_frames",
    "strip_writer",
    "write",
]
