"""Eight views of one film: their mean is the better image, their spread says where it is unsure."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from xraysr.upscale.upscaler import Runtime

VIEWS = 8


class EnsembleRuntime:
    """The mean over the eight flips and rotations of the image, each turned back.

    It takes eight times as long.

    Args:
        runtime: What runs the network.

    Reference:
        Lim et al., Enhanced deep residual networks for single image super-resolution (2017),
        section 3.4
    """

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.spec = runtime.spec
        self.levels = getattr(runtime, "levels", None)
        self.words = (*getattr(runtime, "words", ()), "ensemble")

    def run(self, batch: np.ndarray) -> np.ndarray:
        """(n, height, width, 1) float32 in [0, 1] to the same, `scale` times as large."""
        return self.mean_and_deviation(batch)[0]

    def mean_and_deviation(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation over the eight, each of the shape that `run` gives."""
        views = self._views(batch)
        mean = next(views).astype(np.float32)
        squares = np.zeros_like(mean)
        for count, view in enumerate(views, 2):
            difference = view - mean
            mean += difference / count
            squares += difference * (view - mean)
        return mean, np.sqrt(squares / VIEWS)

    def _views(self, batch: np.ndarray) -> Iterator[np.ndarray]:
        for swap in (False, True):
            for flip in ((), (1,), (2,), (1, 2)):
                view = np.flip(batch.swapaxes(1, 2) if swap else batch, flip)
                sr = np.flip(self.runtime.run(np.ascontiguousarray(view)), flip)
                yield sr.swapaxes(1, 2) if swap else sr


class DeviationRuntime:
    """The standard deviation over the eight views, in units of [0, 1], in place of an image.

    `Upscaler(DeviationRuntime(runtime), tile)` gives the map of uncertainty in tiles, as it gives
    the image.

    Args:
        runtime: What runs the network; the one whose result the map is for, without ensemble.
    """

    def __init__(self, runtime: Runtime) -> None:
        self.ensemble = EnsembleRuntime(runtime)
        self.spec = runtime.spec

    def run(self, batch: np.ndarray) -> np.ndarray:
        """(n, height, width, 1) float32 in [0, 1] to deviations, `scale` times as large."""
        return self.ensemble.mean_and_deviation(batch)[1]
