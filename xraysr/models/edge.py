"""The edge generator: little enough for a small device, and whole in int8."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from xraysr.models.network import SRNetwork


@keras.saving.register_keras_serializable("xraysr")
class EdgeGenerator(SRNetwork):
    """Enlarges a radiograph by an integer scale with plain convolutions, all at LR size.

    3x3 convolutions with ReLU, one to `scale ** 2` channels, and `depth_to_space`. Each of these
    outputs is added to its LR pixel, so that the network learns only the difference to it;
    untrained, it repeats pixels. There is no division, no exponential and no weight that
    depends on the image, so that TFLite quantises it to int8 from end to end.

    Args:
        scale: HR pixels per LR pixel, 2 to 8.
        depth: Convolutions between the first and the last.
        width: Feature channels.

    Input shape: (batch, height, width, 1), float32 in [0, 1], any height and width.
    Output shape: (batch, scale height, scale width, 1), float32, clipped to [0, 1] unless
    `training=True`.

    Reference:
        [Shi et al., 2016](https://arxiv.org/abs/1609.05158); the skip of repeated pixels from
        [Du et al., 2021](https://arxiv.org/abs/2104.07838)
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

    def build(self, input_shape):
        shape = (None, None, None, 1)
        for layer in (*self.convolutions, self.tail):
            layer.build(shape)
            shape = layer.compute_output_shape(shape)

    def call(self, inputs, training=False):
        x = inputs
        for convolution in self.convolutions:
            x = convolution(x)
        # A sum of one channel and scale ** 2 repeats the pixel over its block.
        sr = ops.depth_to_space(inputs + self.tail(x), self.scale)
        return sr if training else ops.clip(sr, 0.0, 1.0)

    @property
    def receptive_radius(self) -> int:
        return self.depth + 2
