"""Films in and out of files: PNG, JPEG and TIFF in 8 and 16 bit, and DICOM. No TensorFlow."""

from xraysr.io.formats import IMAGE_SUFFIXES, read, write
from xraysr.io.radiograph import Radiograph

__all__ = ["IMAGE_SUFFIXES", "Radiograph", "read", "write"]
