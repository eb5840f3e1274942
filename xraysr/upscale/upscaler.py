"""`Upscaler`: one contract for every way to run a trained generator."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol, TypeVar

import numpy as np

from xraysr.errors import UserError
from xraysr.io import Radiograph
from xraysr.spec import ModelSpec
from xraysr.upscale.tiles import run_tiled

Image = TypeVar("Image", np.ndarray, Radiograph)


class Runtime(Protocol):
    """What runs the network: Keras, a SavedModel, TFLite, ONNX or a server.

    It maps a batch (n, height, width, 1), float32 in [0, 1], to (n, scale height, scale width, 1).
    """

    spec: ModelSpec

    def run(self, batch: np.ndarray) -> np.ndarray:
        """The enlarged batch, float32."""
        ...


class Upscaler:
    """Makes low-resolution radiographs sharp with a trained generator.

    Args:
        runtime: What runs the network.
        tile: Largest side in LR pixels that is given to it at once; larger images go through in
            tiles that overlap by the receptive radius, with the same result. None: no limit.

    Raises:
        UserError: if `tile` is not more than twice the receptive radius of the model.

    Example:
        >>> upscaler = xraysr.load("run/generator.keras")
        >>> film = xraysr.read("film.png")          # pixels float32 in [0, 1]
        >>> xraysr.write("film_x4.png", upscaler(film))
    """

    def __init__(self, runtime: Runtime, tile: int | None = None) -> None:
        least = 2 * runtime.spec.receptive_radius + 1
        if tile is not None and tile < least:
            raise UserError(
                f"tile must be at least {least} LR pixels, since {runtime.spec.name} looks "
                f"{runtime.spec.receptive_radius} pixels far. Received: {tile}"
            )
        self.runtime = runtime
        self.tile = tile

    @property
    def spec(self) -> ModelSpec:
        """The card of the model."""
        return self.runtime.spec

    @property
    def scale(self) -> int:
        """HR pixels per LR pixel."""
        return self.spec.scale

    def __call__(self, image: Image) -> Image:
        """Enlarges `image` by `scale`.

        Args:
            image: A `Radiograph`, or an array in [0, 1] of float dtype and shape (height, width)
                or (n, height, width, 1).

        Returns:
            The same kind. Arrays are float32 in [0, 1]. A radiograph keeps its bits, header and
            source; its spacing is divided by the scale.

        Raises:
            UserError: if dtype, shape or range is another.
        """
        if isinstance(image, Radiograph):
            spacing = image.spacing
            if spacing is not None:
                spacing = spacing[0] / self.scale, spacing[1] / self.scale
            return replace(image, pixels=self(image.pixels), spacing=spacing)
        _check(image)
        batch: np.ndarray = image[None, ..., None] if image.ndim == 2 else image
        sr = np.clip(self._run(batch.astype(np.float32)), 0.0, 1.0)
        expected = (batch.shape[0], *(side * self.scale for side in batch.shape[1:3]), 1)
        if sr.shape != expected:
            raise UserError(
                f"The model {self.spec.name} does not fit its card: expected x{self.scale}, "
                f"{expected}. Received: {sr.shape}"
            )
        if np.isnan(sr).any():
            raise UserError(f"The model {self.spec.name} gave pixels that are not numbers (NaN).")
        return sr[0, ..., 0] if image.ndim == 2 else sr

    def _run(self, batch: np.ndarray) -> np.ndarray:
        if self.tile is None or max(batch.shape[1:3]) <= self.tile:
            return self.runtime.run(batch)
        overlap = self.spec.receptive_radius
        return run_tiled(self.runtime.run, batch, self.scale, self.tile, overlap)


def _check(image: np.ndarray) -> None:
    """Refuses what is no float image in [0, 1]."""
    if not isinstance(image, np.ndarray) or not np.issubdtype(image.dtype, np.floating):
        kind = getattr(image, "dtype", type(image).__name__)
        raise UserError(
            "An image must be a Radiograph or a float array in [0, 1]; divide integers by the "
            f"largest value their bits hold, or use xraysr.read. Received: {kind}"
        )
    if not (image.ndim == 2 or (image.ndim == 4 and image.shape[-1] == 1)) or image.size == 0:
        raise UserError(
            "An image must have shape (height, width) or (n, height, width, 1), none of them 0. "
            f"Received: {image.shape}"
        )
    low, high = image.min(), image.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        raise UserError("An image must be finite. Received: NaN or infinite pixels")
    if low < 0.0 or high > 1.0:
        raise UserError(f"Pixels must be in [0, 1]. Received: {low:.4g} to {high:.4g}")
