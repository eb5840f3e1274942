"""`Radiograph`: one film in memory, as every other part of xraysr receives it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pydicom import Dataset


@dataclass(frozen=True, eq=False)
class Radiograph:
    """A grey image with what its file said about it.

    Args:
        pixels: float32, shape (height, width), range [0, 1]: 0 is black, 1 the brightest value
            that `bits` can hold; bones bright (MONOCHROME1 films are inverted on reading).
        bits: Grey levels stored by the source are `2 ** bits` (1 to 16).
        spacing: Row and column distance of pixel centres in millimetres, where known.
        header: The DICOM data set the pixels came from, without its pixel data.
        source: The file it was read from.
        padding: bool, the shape that the film has in its file: pixels that are no part of it
            (DICOM's PixelPaddingValue). None where there are none.
        lossy: Its file was compressed with loss.
        frame: Which film of how many its file holds, counted from 1.
    """

    pixels: np.ndarray
    bits: int = 8
    spacing: tuple[float, float] | None = None
    header: Dataset | None = None
    source: Path | None = None
    padding: np.ndarray | None = None
    lossy: bool = False
    frame: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        if self.pixels.ndim != 2 or self.pixels.dtype != np.float32:
            raise ValueError(
                "Radiograph pixels must be float32 of shape (height, width). "
                f"Received: {self.pixels.dtype} of shape {self.pixels.shape}"
            )

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.pixels.shape  # type: ignore[return-value]

    def stored(self) -> np.ndarray:
        """Pixels as the integers a file holds: uint8 up to 8 bits, else uint16."""
        levels = (1 << self.bits) - 1
        dtype = np.uint8 if self.bits <= 8 else np.uint16
        return np.round(np.clip(self.pixels, 0.0, 1.0) * levels).astype(dtype)
