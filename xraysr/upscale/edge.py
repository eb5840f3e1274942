"""Runs a `.tflite` file on a device that has neither TensorFlow nor Keras."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from xraysr.errors import UserError
from xraysr.spec import ModelSpec


class EdgeRuntime:
    """A generator in LiteRT (TFLite), in float32 or quantised.

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
        self._input = self._interpreter.get_input_details()[0]
        self._output = self._interpreter.get_output_details()[0]
        self._shape: tuple[int, ...] | None = None

    def run(self, batch: np.ndarray) -> np.ndarray:
        """(n, height, width, 1) float32 in [0, 1] to the same, `scale` times as large.

        An int8 model takes and gives 256 grey levels, whatever the film's bits.
        """
        if batch.shape != self._shape:
            self._interpreter.resize_tensor_input(self._input["index"], batch.shape)
            self._interpreter.allocate_tensors()
            self._shape = batch.shape
        self._interpreter.set_tensor(self._input["index"], _to_tensor(batch, self._input))
        self._interpreter.invoke()
        return _to_float(self._interpreter.get_tensor(self._output["index"]), self._output)


def _to_tensor(values: np.ndarray, details: dict[str, Any]) -> np.ndarray:
    """Values as a tensor holds them: float32, or rounded to its integers."""
    if details["dtype"] == np.float32:
        return values
    scale, zero = details["quantization"]
    limits = np.iinfo(details["dtype"])
    levels = np.round(values / np.float32(scale)) + zero
    return np.clip(levels, limits.min, limits.max).astype(details["dtype"])


def _to_float(tensor: np.ndarray, details: dict[str, Any]) -> np.ndarray:
    """The float32 values that a tensor stands for."""
    if details["dtype"] == np.float32:
        return tensor
    scale, zero = details["quantization"]
    return (tensor.astype(np.float32) - zero) * np.float32(scale)
