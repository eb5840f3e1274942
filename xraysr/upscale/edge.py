"""Runs a `.tflite` file on a device that has neither TensorFlow nor Keras."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from xraysr.errors import UserError
from xraysr.spec import ModelSpec


class EdgeRuntime:
    """A generator in LiteRT (TFLite).

    Args:
        path: A `.tflite` file of xraysr, with its card beside it.
        threads: CPU threads to use.
    """

    def __init__(self, path: Path, threads: int = 2) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self.spec = ModelSpec.load(path)
        try:
            self._interpreter = Interpreter(str(path), num_threads=threads)
        except (ValueError, RuntimeError) as error:
            raise UserError(f"{path} is not a TFLite model that can be read: {error}") from error
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._output = self._interpreter.get_output_details()[0]["index"]
        self._shape: tuple[int, ...] | None = None

    def run(self, batch: np.ndarray) -> np.ndarray:
        """(n, height, width, 1) float32 in [0, 1] to the same, `scale` times as large."""
        if batch.shape != self._shape:
            self._interpreter.resize_tensor_input(self._input, batch.shape)
            self._interpreter.allocate_tensors()
            self._shape = batch.shape
        self._interpreter.set_tensor(self._input, batch)
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._output)
