"""Runs a generator in Keras."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import numpy as np
import tensorflow as tf

from xraysr.models import SRNetwork
from xraysr.presets.opening import open_generator
from xraysr.spec import ModelSpec


class KerasRuntime:
    """A generator in Keras, compiled to one graph for all sizes.

    Args:
        generator: The network.
        spec: Its card.
    """

    def __init__(self, generator: SRNetwork, spec: ModelSpec) -> None:
        self.spec = spec
        signature = tf.TensorSpec((None, None, None, 1), tf.float32)
        self._graph = tf.function(generator.call, input_signature=[signature])

    @classmethod
    def open(cls, target: str | Path) -> Self:
        """The generator of a `.keras` file, a run folder or a preset."""
        return cls(*open_generator(target))

    def run(self, batch: np.ndarray) -> np.ndarray:
        """(n, height, width, 1) float32 in [0, 1] to the same, `scale` times as large."""
        return self._graph(batch).numpy()
