"""Runs a `.keras` file."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import tensorflow as tf

from xraysr.errors import UserError
from xraysr.models import Generator
from xraysr.models.storage import load_generator, weights_sha256
from xraysr.spec import ModelSpec


class KerasRuntime:
    """A generator in Keras, compiled to one graph for all sizes.

    Args:
        path: A `.keras` file of xraysr, with its card beside it.
    """

    def __init__(self, path: Path) -> None:
        generator, self.spec = load_with_card(path)
        signature = tf.TensorSpec((None, None, None, 1), tf.float32)
        self._graph = tf.function(generator.call, input_signature=[signature])

    def run(self, batch: np.ndarray) -> np.ndarray:
        """(n, height, width, 1) float32 in [0, 1] to the same, `scale` times as large."""
        return self._graph(batch).numpy()


def load_with_card(path: Path) -> tuple[Generator, ModelSpec]:
    """A generator and its card, or a `UserError` if one is missing, broken or not the other's."""
    if path.is_file() and not zipfile.is_zipfile(path):
        raise UserError(f"{path} is not a Keras model: it was truncated, or is something else.")
    generator, spec = load_generator(path), ModelSpec.load(path)
    if weights_sha256(generator) != spec.weights_sha256:
        raise UserError(f"{path} does not hold the weights its card names: one was replaced.")
    return generator, spec
