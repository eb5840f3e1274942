"""The edge generator: little enough for a small device, and whole in int8."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from xraysr.lanczos import RADIUS
from xraysr.models.layers import LanczosUpsample
from xraysr.models.network import StackedNetwork


@keras.saving.register_keras_serializable("xraysr")
class EdgeGenerator(StackedNetwork):
    """Enlarges a radiograph by an integer scale with plain convolutions, all at LR size.

    3x3 convolutions with ReLU, one to `scale ** 2` channels, and `depth_to_space`; a skip
    carries the Lanczos-enlarged input, so that the network learns only the difference. There is
    no division and no exponential, so that TFLite quantises it to int8 from end to end.
    Untrained, it is Lanczos interpolation to a grey level of 8 bits, but for 3 LR pixels at the
    border.

    Args:
        scale: HR pixels per LR pixel, 2 to 8.
        depth: Convolutions between the first and the last.
        width: Feature channels.

    Input shape: (batch, height, width, 1), float32 in [0, 1], any height and width.
    Output shape: (batch, scale height, scale width, 1), float32, clipped to [0, 1] unless
    `training=True`.

    Reference:
        [Shi et al., 2016](https://arxiv.org/abs/1609.05158)
    """

    def __init__(self, scale: int, depth: int = 5, width: int = 32, **kwargs: Any) -> None:
        super().__init__(scale, depth, width, **kwargs)
        names = ("head", *(f"conv_{index}" for index in range(depth)))
        self.convolutions = [
            keras.layers.Conv2D(
                width, 3, padding="same", activation="relu", kernel_initializer="he_normal", name=n
            )
            for n in names
        ]
        self.tail = keras.layers.Conv2D(
            scale**2,
            3,
            padding="same",
            kernel_initializer="zeros",
            dtype="float32",
            name="tail",
        )
        self.skip = LanczosUpsample(scale, int8=True, dtype="float32", name="lanczos")

    def build(self, input_shape):
        shape = (None, None, None, 1)
        self.skip.build(shape)
        for layer in (*self.convolutions, self.tail):
            layer.build(shape)
            shape = layer.compute_output_shape(shape)

    def call(self, inputs, training=False):
        x = inputs
        for convolution in self.convolutions:
            x = convolution(x)
        sr = ops.depth_to_space(self.skip.phases(inputs) + self.tail(x), self.scale)
        # In this order TFLite makes ReLU part of the sum, which then has the range of its output.
        return sr if training else ops.minimum(ops.relu(sr), 1.0)

    @property
    def receptive_radius(self) -> int:
        return max(self.depth + 2, RADIUS)
