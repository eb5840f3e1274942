"""Runs a `.keras` file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

from xraysr.errors import UserError
from xraysr.models.storage import load_generator, weights_sha256
from xraysr.spec import ModelSpec


class KerasRuntime:
    """A generator in Keras, compiled to one graph for all sizes.

    Args:
        path: A `.keras` file of xraysr, with its card beside it.
    """

    def __init__(self, path: Path) -> None:
        generator = load_generator(path)
        self.spec = ModelSpec.load(path)
        if weights_sha256(generator) != self.spec.weights_sha256:
            raise UserError(f"{path} does not hold the weights its card names: one was replaced.")
        signature = tf.TensorSpec((None, None, None, 1), tf.float32)
        self._graph = tf.function(generator.call, input_signature=[signature])

    def run(self, batch: np.ndarray) -> np.ndarray:
        """(n, height, width, 1) float32 in [0, 1] to the same, `scale` times as large."""
        return self._graph(batch).numpy()
