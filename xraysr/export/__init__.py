"""Trained generators as SavedModel, TFLite and ONNX, each checked before it is kept."""

from xraysr.export.converters import PRECISIONS
from xraysr.export.writer import FORMATS, Export, ParityError, export_model

__all__ = ["FORMATS", "PRECISIONS", "Export", "ParityError", "export_model"]
