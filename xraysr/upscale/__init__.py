"""One way to enlarge a radiograph, whatever runs the network. Importing it needs no TensorFlow."""

from xraysr.upscale.load import load
from xraysr.upscale.upscaler import Runtime, Upscaler

__all__ = ["Runtime", "Upscaler", "load"]
