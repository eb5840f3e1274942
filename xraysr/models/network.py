"""`SRNetwork`: what every generator has in common, and any Keras model made one."""

from __future__ import annotations

from typing import Any, Self

import keras
from keras import ops

from xraysr.pair import MAX_SCALE, MIN_SCALE, Pair
from xraysr.spec import ModelSpec


class SRNetwork(keras.Model):
    """Enlarges a radiograph by an integer scale.

    A subclass says in `call` how, and in `receptive_radius` how far it looks.

    Args:
        scale: HR pixels per LR pixel, 2 to 8.

    Input shape: (batch, height, width, 1), float32 in [0, 1], any height and width.
    Output shape: (batch, scale height, scale width, 1), float32, clipped to [0, 1] unless
    `training=True`.
    """

    def __init__(self, scale: int, **kwargs: Any) -> None:
        # Each layer casts for itself: under mixed precision the skip stays float32.
        super().__init__(autocast=False, **kwargs)
        if not isinstance(scale, int) or not MIN_SCALE <= scale <= MAX_SCALE:
            raise ValueError(
                f"{type(self).__name__} needs an integer scale from {MIN_SCALE} to {MAX_SCALE}. "
                f"Received: scale={scale}"
            )
        self.scale = scale

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
        return {**super().get_config(), "scale": self.scale}


class StackedNetwork(SRNetwork):
    """An `SRNetwork` of `depth` repeated layers, `width` channels wide.

    Args:
        scale: HR pixels per LR pixel, 2 to 8.
        depth: How many of its repeated layers there are, 1 or more.
        width: Feature channels, 8 or more.
    """

    def __init__(self, scale: int, depth: int, width: int, **kwargs: Any) -> None:
        super().__init__(scale, **kwargs)
        if depth < 1 or width < 8:
            raise ValueError(
                f"{type(self).__name__} needs depth >= 1 and width >= 8. "
                f"Received: depth={depth}, width={width}"
            )
        self.depth = depth
        self.width = width

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "depth": self.depth, "width": self.width}


class AdaptedNetwork(SRNetwork):
    """Any Keras model that enlarges, as an `SRNetwork`: float32 out, clipped to [0, 1].

    Args:
        model: Maps (batch, height, width, 1) to the same, `scale` times as large.
        scale: HR pixels per LR pixel.
        radius: Its receptive radius.
    """

    def __init__(self, model: keras.Model, scale: int, radius: int) -> None:
        super().__init__(scale)
        self.model = model
        self.radius = radius

    def build(self, input_shape):
        if not self.model.built:
            self.model.build(input_shape)

    def call(self, inputs, training=False):
        sr = ops.cast(self.model(inputs), "float32")
        return sr if training else ops.clip(sr, 0.0, 1.0)

    @property
    def receptive_radius(self) -> int:
        return self.radius


def as_network(model: keras.Model, spec: ModelSpec) -> SRNetwork:
    """`model` if it is an `SRNetwork`, else one around it that does as its card says."""
    if isinstance(model, SRNetwork):
        return model
    return AdaptedNetwork(model, spec.scale, spec.receptive_radius)
