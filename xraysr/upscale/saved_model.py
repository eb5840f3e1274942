"""Runs a SavedModel folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

from xraysr.errors import UserError
from xraysr.spec import ModelSpec


class SavedModelRuntime:
    """The `serving_default` signature of a SavedModel that `xraysr export` wrote.

    Args:
        path: The folder that holds saved_model.pb.
    """

    def __init__(self, path: Path) -> None:
        self.spec = ModelSpec.load(path)
        try:
            self._model = tf.saved_model.load(str(path))
            self._signature = self._model.signatures["serving_default"]
        except Exception as error:  # TensorFlow has no common base for what it raises here.
            raise UserError(f"{path} is not a SavedModel that can be read: {error}") from error

    def run(self, batch: np.ndarray) -> np.ndarray:
        """(n, height, width, 1) float32 in [0, 1] to the same, `scale` times as large."""
        (output,) = self._signature(tf.constant(batch)).values()
        return output.numpy()
