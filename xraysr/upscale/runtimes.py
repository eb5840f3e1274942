"""What runs a network with TensorFlow or ONNX Runtime; each is imported when it is opened."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import numpy as np

from xraysr.errors import UserError
from xraysr.spec import ModelSpec


class KerasRuntime:
    """A generator in Keras, compiled to one graph for all sizes.

    Args:
        generator: The network, any Keras model that enlarges.
        spec: Its card.
    """

    def __init__(self, generator: Any, spec: ModelSpec) -> None:
        import tensorflow as tf

        from xraysr.models.network import as_network

        self.spec = spec
        signature = tf.TensorSpec((None, None, None, 1), tf.float32)
        self._graph = tf.function(as_network(generator, spec).call, input_signature=[signature])

    @classmethod
    def open(cls, target: Any) -> Self:
        """The generator of a `.keras` file, a run folder, a preset, or a Keras model."""
        need_tensorflow(target)
        from xraysr.models import open_model

        return cls(*open_model(target))

    def run(self, batch: np.ndarray) -> np.ndarray:
        """(n, height, width, 1) float32 in [0, 1] to the same, `scale` times as large."""
        return self._graph(batch).numpy()


class SavedModelRuntime:
    """The `serving_default` signature of a SavedModel that `xraysr export` wrote.

    Args:
        path: The folder that holds saved_model.pb.
    """

    def __init__(self, path: Path) -> None:
        need_tensorflow(path)
        import tensorflow as tf

        self.spec = ModelSpec.load(path)
        try:
            self._model = tf.saved_model.load(str(path))
            self._signature = self._model.signatures["serving_default"]
        except Exception as error:  # TensorFlow has no common base for what it raises here.
            raise UserError(f"{path} is not a SavedModel that can be read: {error}") from error

    def run(self, batch: np.ndarray) -> np.ndarray:
        """(n, height, width, 1) float32 in [0, 1] to the same, `scale` times as large."""
        import tensorflow as tf

        (output,) = self._signature(tf.constant(batch)).values()
        return output.numpy()


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


def has_tensorflow() -> bool:
    """Whether TensorFlow is installed; it is not imported for that."""
    return find_spec("tensorflow") is not None


def need_tensorflow(target: str | Path) -> None:
    """Raises `UserError` where a model needs TensorFlow, and that is not installed."""
    if not has_tensorflow():
        raise UserError(
            f"{target} needs TensorFlow, and that is not installed here: pip install tensorflow. "
            "Without it .tflite and .onnx files run, and the presets named edge"
        )
