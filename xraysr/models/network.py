"""`SRNetwork`: what every generator has in common."""

from __future__ import annotations

from typing import Any, Self

import keras

from xraysr.pair import MAX_SCALE, MIN_SCALE, Pair


class SRNetwork(keras.Model):
    """Enlarges a radiograph by an integer scale; a network of `depth` layers, `width` channels.

    A subclass says in `call` how, and in `receptive_radius` how far it looks.

    Args:
        scale: HR pixels per LR pixel, 2 to 8.
        depth: How many of its repeated layers there are, 1 or more.
        width: Feature channels, 8 or more.

    Input shape: (batch, height, width, 1), float32 in [0, 1], any height and width.
    Output shape: (batch, scale height, scale width, 1), float32, clipped to [0, 1] unless
    `training=True`.
    """

    def __init__(self, scale: int, depth: int, width: int, **kwargs: Any) -> None:
        # Each layer casts for itself: under mixed precision the skip stays float32.
        super().__init__(autocast=False, **kwargs)
        name = type(self).__name__
        if not isinstance(scale, int) or not MIN_SCALE <= scale <= MAX_SCALE:
            raise ValueError(
                f"{name} needs an integer scale from {MIN_SCALE} to {MAX_SCALE}. "
                f"Received: scale={scale}"
            )
        if depth < 1 or width < 8:
            raise ValueError(
                f"{name} needs depth >= 1 and width >= 8. Received: depth={depth}, width={width}"
            )
        self.scale = scale
        self.depth = depth
        self.width = width

    @classmethod
    def for_pair(cls, pair: Pair | str, **arguments: Any) -> Self:
        """The generator of a pair of sizes, built and ready to use."""
        pair = Pair.parse(pair)
        generator = cls(pair.scale, **arguments)
        generator.build((None, *pair.lr, 1))
        return generator

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        return (batch, *(n and n * self.scale for n in (height, width)), channels)

    @property
    def receptive_radius(self) -> int:
        """LR pixels around a pixel that can change its SR block: the overlap tiles need."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "scale": self.scale,
            "depth": self.depth,
            "width": self.width,
        }
