"""Runs an `.onnx` file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from xraysr.errors import UserError
from xraysr.spec import ModelSpec


class OnnxRuntime:
    """A generator in ONNX Runtime.

    Args:
        path: A `.onnx` file of xraysr, with its card beside it.

    Raises:
        UserError: if the file cannot be read, or onnxruntime is not installed.
    """

    def __init__(self, path: Path) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise UserError("ONNX files need onnxruntime: pip install 'xraysr[onnx]'") from error
        self.spec = ModelSpec.load(path)
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), providers=onnxruntime.get_available_providers()
            )
        except Exception as error:  # onnxruntime's own exceptions have no common base.
            raise UserError(f"{path} is not an ONNX model that can be read: {error}") from error

    def run(self, batch: np.ndarray) -> np.ndarray:
        """(n, height, width, 1) float32 in [0, 1] to the same, `scale` times as large."""
        (sr,) = self._session.run(None, {"lr": batch})
        return sr
