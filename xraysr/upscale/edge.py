"""Runs a `.tflite` file on a device that has neither TensorFlow nor Keras."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from xraysr.errors import UserError
from xraysr.spec import ModelSpec
from xraysr.upscale.memory import tile_within
from xraysr.upscale.upscaler import Upscaler

CARD = "spec.json"  # its name in the zip behind the model


class EdgeUpscaler(Upscaler):
    """An `Upscaler` for small devices: NumPy, Pillow and LiteRT only.

    Args:
        path: A `.tflite` file that `xraysr export` wrote.
        threads: CPU threads.
        tile: Largest side in LR pixels that is given to the network at once.
        memory_mb: Ceiling in MB for what the network takes, beyond the images themselves and the
            40 MB or so of Python; the tile is made as large as it allows, which takes a second to
            find out. Give either this or `tile`.

    Raises:
        UserError: if the file is not such a model, or the ceiling is too low for the smallest tile.

    Example:
        >>> upscaler = EdgeUpscaler("edge-x4.tflite", threads=2, memory_mb=100)
        >>> xraysr.write("film_x4.png", upscaler(xraysr.read("film.png")))
    """

    def __init__(
        self,
        path: str | Path,
        threads: int = 2,
        tile: int | None = None,
        memory_mb: float | None = None,
    ) -> None:
        runtime = EdgeRuntime(Path(path), threads)
        if memory_mb is not None:
            if tile is not None:
                raise UserError("Give either tile or memory_mb. Received: both")
            tile = tile_within(memory_mb, Path(path), runtime.spec, threads)
        super().__init__(runtime, tile)


class EdgeRuntime:
    """A generator in LiteRT (TFLite), in float32 or quantised.

    Args:
        path: A `.tflite` file of xraysr, with its card inside or beside it.
        threads: CPU threads to use.
    """

    def __init__(self, path: Path, threads: int = 2) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise UserError(".tflite files need LiteRT: pip install ai-edge-litert") from error
        self._path = path
        self.spec = read_card(path)
        try:
            self._interpreter = Interpreter(str(path), num_threads=threads)
            self._input = self._interpreter.get_input_details()[0]
            self._output = self._interpreter.get_output_details()[0]
        except (ValueError, RuntimeError, IndexError) as error:
            raise UserError(f"{path} is not a TFLite model that can be read: {error}") from error
        self._shape: tuple[int, ...] | None = None
        # Grey levels that it tells apart, where it is whole in int8.
        whole = {self._input["dtype"], self._output["dtype"]} != {np.float32}
        self.levels = 256 if whole else None

    def run(self, batch: np.ndarray) -> np.ndarray:
        """(n, height, width, 1) float32 in [0, 1] to the same, `scale` times as large.

        An int8 model takes and gives 256 grey levels, whatever the film's bits.
        """
        try:
            if batch.shape != self._shape:
                self._allocate(batch.shape)
            self._interpreter.set_tensor(self._input["index"], _to_tensor(batch, self._input))
            self._interpreter.invoke()
        except (ValueError, RuntimeError) as error:
            raise UserError(f"{self._path} cannot enlarge an image: {error}") from error
        return _to_float(self._interpreter.get_tensor(self._output["index"]), self._output)

    def _allocate(self, shape: tuple[int, ...]) -> None:
        self._interpreter.resize_tensor_input(self._input["index"], shape)
        self._interpreter.allocate_tensors()
        self._shape = shape


def read_card(path: Path) -> ModelSpec:
    """The card inside a `.tflite` file, or else the one beside it.

    Raises:
        UserError: if there is no such file, or neither card can be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            text = archive.read(CARD).decode("utf-8")
    except FileNotFoundError:
        raise UserError(f"No model file at {path}") from None
    except (zipfile.BadZipFile, KeyError, zlib.error, UnicodeDecodeError, OSError):
        if not ModelSpec.path_for(path).exists():
            raise UserError(
                f"{path} has no card inside, and no {ModelSpec.path_for(path).name} lies beside "
                "it: it was truncated, or xraysr did not export it."
            ) from None
        return ModelSpec.load(path)
    return ModelSpec.from_json(text, f"{path}/{CARD}")


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
