"""The generator: an SRResNet that learns what Lanczos interpolation leaves out."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from xraysr.lanczos import RADIUS
from xraysr.models.layers import LanczosUpsample, ResidualBlock, SubpixelUpsample
from xraysr.pair import MAX_SCALE, MIN_SCALE, Pair, prime_factors


@keras.saving.register_keras_serializable("xraysr")
class Generator(keras.Model):
    """Enlarges a radiograph by an integer scale.

    Residual blocks at LR size, one `depth_to_space` stage for each prime factor of the scale,
    and a long skip that carries the Lanczos-enlarged input, so that the network learns only the
    difference. Its last convolution starts at zero: untrained, it is Lanczos interpolation.

    Args:
        scale: HR pixels per LR pixel, 2 to 8.
        depth: Number of residual blocks.
        width: Feature channels of the blocks; each upsampling stage halves them, down to 8.
        batch_norm: Batch normalisation in the blocks. It helps neither fidelity nor export and
            is off unless asked for.

    Input shape: (batch, height, width, 1), float32 in [0, 1], any height and width.
    Output shape: (batch, scale height, scale width, 1), float32, clipped to [0, 1] unless
    `training=True`.

    Example:
        >>> generator = Generator.for_pair("64:256", depth=4, width=32)
        >>> generator(np.zeros((1, 64, 64, 1), "float32")).shape
        (1, 256, 256, 1)

    Reference:
        [Ledig et al., 2017](https://arxiv.org/abs/1609.04802)
    """

    def __init__(
        self, scale: int, depth: int = 8, width: int = 32, batch_norm: bool = False, **kwargs: Any
    ) -> None:
        # Each layer casts for itself: under mixed precision the skip stays float32.
        super().__init__(autocast=False, **kwargs)
        if not isinstance(scale, int) or not MIN_SCALE <= scale <= MAX_SCALE:
            raise ValueError(
                f"Generator needs an integer scale from {MIN_SCALE} to {MAX_SCALE}. "
                f"Received: scale={scale}"
            )
        if depth < 1 or width < 8:
            raise ValueError(
                f"Generator needs depth >= 1 and width >= 8. Received: depth={depth}, width={width}"
            )
        self.scale = scale
        self.depth = depth
        self.width = width
        self.batch_norm = batch_norm
        factors = prime_factors(scale)
        self.head = keras.layers.Conv2D(width, 3, padding="same", name="head")
        self.blocks = [
            ResidualBlock(width, batch_norm, name=f"block_{index}") for index in range(depth)
        ]
        self.body = keras.layers.Conv2D(width, 3, padding="same", name="body")
        self.upsampling = [
            SubpixelUpsample(max(8, width >> (index + 1)), factor, name=f"upsample_{index}")
            for index, factor in enumerate(factors)
        ]
        self.tail = keras.layers.Conv2D(
            1, 3, padding="same", kernel_initializer="zeros", dtype="float32", name="tail"
        )
        self.skip = LanczosUpsample(scale, dtype="float32", name="lanczos")

    @classmethod
    def for_pair(cls, pair: Pair | str, **arguments: Any) -> Generator:
        """The generator of a pair of sizes, built and ready to use."""
        pair = Pair.parse(pair)
        generator = cls(pair.scale, **arguments)
        generator.build((None, *pair.lr, 1))
        return generator

    def build(self, input_shape):
        shape = (None, None, None, 1)
        self.skip.build(shape)
        for layer in (self.head, *self.blocks, self.body, *self.upsampling, self.tail):
            layer.build(shape)
            shape = layer.compute_output_shape(shape)

    def call(self, inputs, training=False):
        features = self.head(inputs)
        x = features
        for block in self.blocks:
            x = block(x, training=training)
        x = self.body(x) + features
        for stage in self.upsampling:
            x = stage(x)
        sr = self.skip(inputs) + self.tail(x)
        return sr if training else ops.clip(sr, 0.0, 1.0)

    def compute_output_shape(self, input_shape):
        return self.skip.compute_output_shape(input_shape)

    @property
    def receptive_radius(self) -> int:
        """LR pixels around a pixel that can change its SR block: the overlap tiles need."""
        radius, step = 2.0 + 2 * self.depth, 1.0
        for factor in prime_factors(self.scale):
            radius += step
            step /= factor
        return max(math.ceil(radius + step), RADIUS)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "scale": self.scale,
            "depth": self.depth,
            "width": self.width,
            "batch_norm": self.batch_norm,
        }
