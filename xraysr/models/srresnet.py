"""The generator: an SRResNet that learns what Lanczos interpolation leaves out."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from xraysr.lanczos import RADIUS
from xraysr.models.layers import LanczosUpsample, ResidualBlock, SubpixelUpsample
from xraysr.models.network import StackedNetwork
from xraysr.pair import prime_factors


@keras.saving.register_keras_serializable("xraysr")
class SRResNet(StackedNetwork):
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
        >>> generator = SRResNet.for_pair("64:256", depth=4, width=32)
        >>> generator(np.zeros((1, 64, 64, 1), "float32")).shape
        (1, 256, 256, 1)

    Reference:
        [Ledig et al., 2017](https://arxiv.org/abs/1609.04802)
    """

    def __init__(
        self, scale: int, depth: int = 8, width: int = 32, batch_norm: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(scale, depth, width, **kwargs)
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

    @property
    def receptive_radius(self) -> int:
        radius, step = 2.0 + 2 * self.depth, 1.0
        for factor in prime_factors(self.scale):
            radius += step
            step /= factor
        return max(math.ceil(radius + step), RADIUS)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "batch_norm": self.batch_norm}
