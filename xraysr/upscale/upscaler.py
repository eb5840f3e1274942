"""`Upscaler`: one contract for every way to run a trained generator."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Protocol, TypeVar

import numpy as np

from xraysr.errors import UserError
from xraysr.io import Provenance, Radiograph
from xraysr.spec import ModelSpec
from xraysr.upscale.tiles import SizeError, least_tile, run_strips

TILE = 512  # LR pixels; what a network takes for it is about a gigabyte at most

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
            tiles that overlap, with the same result. Default: 512, or more where the model looks
            far.
        batch: Tiles given to it at once; more than 1 may be faster on a GPU.

    Raises:
        UserError: if `tile` is so small that nothing of it could be taken.

    Example:
        >>> upscaler = xraysr.load("run/generator.keras")
        >>> film = xraysr.read("film.png")          # pixels float32 in [0, 1]
        >>> xraysr.write("film_x4.png", upscaler(film))
    """

    def __init__(self, runtime: Runtime, tile: int | None = None, batch: int = 1) -> None:
        least = least_tile(runtime.spec.receptive_radius)
        if tile is not None and tile < least:
            raise UserError(
                f"tile must be at least {least} LR pixels, since {runtime.spec.name} looks "
                f"{runtime.spec.receptive_radius} pixels far. Received: {tile}"
            )
        if batch < 1:
            raise UserError(f"batch must be at least 1 tile. Received: {batch}")
        self.runtime = runtime
        self.tile = tile or max(TILE, 2 * least)
        self.batch = batch

    @property
    def spec(self) -> ModelSpec:
        """The card of the model."""
        return self.runtime.spec

    @property
    def scale(self) -> int:
        """HR pixels per LR pixel."""
        return self.spec.scale

    @property
    def levels(self) -> int | None:
        """How many grey levels the model tells apart; None where it computes in floats."""
        return getattr(self.runtime, "levels", None)

    @property
    def words(self) -> tuple[str, ...]:
        """What runs besides the plain network, as outputs say it: "ensemble", "faithful"."""
        levels = () if self.levels is None else (f"int8 with {self.levels} grey levels",)
        return (*levels, *getattr(self.runtime, "words", ()))

    @property
    def candidates(self) -> tuple[Upscaler, ...]:
        """The models of which one enlarges a film: this one alone, unless it is `auto`."""
        return (self,)

    def for_film(self, pixels: np.ndarray) -> tuple[Upscaler, str]:
        """The one of `candidates` that enlarges this film, and why, in a few words.

        Args:
            pixels: float32 in [0, 1], shape (height, width).
        """
        return self, ""

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
            return self.around(image, self(image.pixels))
        if image_rank(image) == 2:
            return self(image[None, ..., None])[0, ..., 0]
        sr = np.empty((len(image), *self.size(image.shape[1:3]), 1), np.float32)
        done = 0
        for strip in self._strips(image):
            sr[:, done : done + strip.shape[1]] = strip
            done += strip.shape[1]
        return sr

    def strips(self, pixels: np.ndarray) -> Iterator[np.ndarray]:
        """Enlarges an image piece by piece, so that it need not fit in memory.

        Args:
            pixels: Float, shape (height, width), in [0, 1].

        Yields:
            float32, shape (rows, scale width), in [0, 1]: the output from the top.

        Raises:
            UserError: if dtype, shape or range is another.
        """
        if image_rank(pixels) != 2:
            raise UserError(f"strips takes one image (height, width). Received: {pixels.shape}")
        for strip in self._strips(pixels[None, ..., None]):
            yield strip[0, ..., 0]

    def size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) of the output for an image of `size`."""
        return size[0] * self.scale, size[1] * self.scale

    def around(self, film: Radiograph, pixels: np.ndarray) -> Radiograph:
        """What `film` becomes: `pixels`, its bits, header and source, its spacing divided.

        Its provenance is this model.
        """
        spacing = film.spacing
        if spacing is not None:
            spacing = spacing[0] / self.scale, spacing[1] / self.scale
        spec = self.spec
        made = Provenance(spec.name, spec.weights_sha256, self.scale, options=self.words)
        return replace(film, pixels=pixels, spacing=spacing, provenance=made)

    def _strips(self, images: np.ndarray) -> Iterator[np.ndarray]:
        """Strips (n, rows, scale width, 1) of images (n, height, width, 1), checked."""
        images = images.astype(np.float32)
        radius = self.spec.receptive_radius
        try:
            yield from map(
                self._checked,
                run_strips(self.runtime.run, images, self.scale, self.tile, radius, self.batch),
            )
        except SizeError as error:
            raise UserError(
                f"The model {self.spec.name} does not fit its card: expected x{self.scale}, {error}"
            ) from error

    def _checked(self, strip: np.ndarray) -> np.ndarray:
        if np.isnan(strip.min()):
            raise UserError(f"The model {self.spec.name} gave pixels that are not numbers (NaN).")
        return np.clip(strip, 0.0, 1.0, out=strip)


def image_rank(image: np.ndarray) -> int:
    """2 or 4, the axes of an image; refuses what is not a float image in [0, 1]."""
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
    return image.ndim
