"""Generators trained on real radiographs that come with the package. No TensorFlow here."""

from xraysr.presets.card import ModelCard, names, tflite_path

__all__ = ["ModelCard", "names", "tflite_path"]
