"""Trained generators as SavedModel and TFLite, each checked against Keras before it is kept."""

from xraysr.export.writer import FORMATS, ParityError, export_model

__all__ = ["FORMATS", "ParityError", "export_model"]
