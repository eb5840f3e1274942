"""`auto`: the preset that fits a film, film by film."""

from __future__ import annotations

import numpy as np

from xraysr.io import Radiograph
from xraysr.upscale.gate import judge
from xraysr.upscale.upscaler import Image, Upscaler, image_rank


class AutoUpscaler(Upscaler):
    """An `Upscaler` that takes one of two presets for each film, as the gate judges it.

    Args:
        clean: For films that are clean and sharp.
        robust: For those with noise, blur or JPEG's blocks.

    Example:
        >>> auto = xraysr.load("auto")
        >>> upscaler, why = auto.for_film(film.pixels)
        >>> upscaler.spec.name, why
        ('robust-x4', 'noise of 2.1 %')
    """

    def __init__(self, clean: Upscaler, robust: Upscaler) -> None:
        super().__init__(clean.runtime, clean.tile, clean.batch)
        self.clean, self.robust = clean, robust

    @property
    def candidates(self) -> tuple[Upscaler, ...]:
        """Both presets."""
        return self.clean, self.robust

    def for_film(self, pixels: np.ndarray) -> tuple[Upscaler, str]:
        """The preset for a film, and why."""
        judgement = judge(pixels)
        if judgement is None:
            return self.clean, "too small or too flat to judge"
        found = [each.text for each in judgement.findings if each.degraded]
        return (self.robust, " and ".join(found)) if found else (self.clean, "clean and sharp")

    def __call__(self, image: Image) -> Image:
        """As `Upscaler`; each image of an array by the preset that fits it."""
        if isinstance(image, Radiograph):
            return self.for_film(image.pixels)[0](image)
        if image_rank(image) == 2:
            return self.for_film(image)[0](image)
        return np.concatenate([self.for_film(x[..., 0])[0](x[None]) for x in image])
