"""The layers super-resolution is made of; pure `keras.ops`, so they run on any Keras backend."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from xraysr.lanczos import RADIUS, lanczos_kernel


@keras.saving.register_keras_serializable("xraysr")
class LanczosUpsample(keras.layers.Layer):
    """Enlarges a one-channel image by an integer scale with Lanczos interpolation.

    A fixed polyphase convolution followed by `depth_to_space`: the same result as
    `tf.image.resize(method="lanczos3")`, borders included, in operations that every backend,
    XLA and TFLite have built in. It has no weights.

    Args:
        scale: HR pixels per LR pixel.
        int8: Keep to what int8 has: weights that it holds exactly, and no division. The image is
            continued past its border by the outermost pixels, which differs from
            `tf.image.resize` within 3 LR pixels of the border.

    Input shape: (batch, height, width, 1). Output shape: (batch, scale height, scale width, 1).
    """

    def __init__(self, scale: int, int8: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale = scale
        self.int8 = int8
        self._kernel = int8_lanczos(scale) if int8 else polyphase_lanczos(scale)

    def call(self, inputs):
        return ops.depth_to_space(self.phases(inputs), self.scale)

    def phases(self, inputs):
        """The enlarged image before `depth_to_space`: (batch, height, width, scale * scale)."""
        kernel = ops.convert_to_tensor(self._kernel, dtype=self.compute_dtype)
        if self.int8:
            for _ in range(RADIUS):  # one pixel at a time, so that an image of one pixel will do
                inputs = ops.pad(inputs, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="symmetric")
            return ops.conv(inputs, kernel, padding="valid")
        # Zero padding loses weight at the borders; dividing by what is left of it gives it back.
        weight = ops.conv(ops.ones_like(inputs), kernel, padding="same")
        image = ops.conv(inputs, kernel, padding="same")
        return image / weight

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        return (batch, *(n and n * self.scale for n in (height, width)), channels)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "scale": self.scale,
            "int8": self.int8,
        }


def polyphase_lanczos(scale: int) -> np.ndarray:
    """Lanczos weights of every HR phase, their sum 1: float32, shape (7, 7, 1, scale * scale)."""
    phases = (np.arange(scale) + 0.5) / scale - 0.5
    taps = lanczos_kernel(np.arange(-RADIUS, RADIUS + 1)[:, None] - phases[None, :])
    taps /= taps.sum(axis=0)
    kernel = taps[:, None, :, None] * taps[None, :, None, :]
    return kernel.reshape(len(taps), len(taps), 1, scale * scale).astype(np.float32)


def int8_lanczos(scale: int) -> np.ndarray:
    """`polyphase_lanczos` to 0.005, such that quantising a phase to int8 changes none of it.

    The weights of a phase are q / sum(q) with integers q up to 127, so that flat regions keep
    their grey level. Quantised one by one, they would not sum to 1: a loss of 2 dB.
    """
    kernel = polyphase_lanczos(scale).astype(np.float64)
    for phase in range(scale * scale):
        weights = kernel[..., phase].ravel()
        total = round(127 / weights.max())
        levels = np.round(total * weights)
        missing = int(total - levels.sum())
        error = np.sign(missing) * (total * weights - levels)
        error[levels == 127] = -np.inf
        levels[np.argsort(-error, kind="stable")[: abs(missing)]] += np.sign(missing)
        kernel[..., phase] = (levels / total).reshape(kernel.shape[:3])
    return kernel.astype(np.float32)


@keras.saving.register_keras_serializable("xraysr")
class ICNR(keras.initializers.Initializer):
    """Initialises a convolution before `depth_to_space` so that each pixel's block starts equal.

    Without it the independent weights of the sub-pixels draw a checkerboard.

    Args:
        factor: Side of the block that `depth_to_space` will lay out.

    Reference:
        [Aitken et al., 2017](https://arxiv.org/abs/1707.02937)
    """

    def __init__(self, factor: int) -> None:
        self.factor = factor

    def __call__(self, shape, dtype=None):
        blocks = self.factor**2
        if shape[-1] % blocks:
            raise ValueError(
                f"ICNR needs a multiple of {blocks} filters. Received: shape={tuple(shape)}"
            )
        # NHWC depth_to_space reads channel c of sub-pixel b at index b * filters + c.
        one = keras.initializers.HeNormal()((*shape[:-1], shape[-1] // blocks), dtype=dtype)
        return ops.tile(one, (1,) * (len(shape) - 1) + (blocks,))

    def get_config(self) -> dict[str, Any]:
        return {"factor": self.factor}


@keras.saving.register_keras_serializable("xraysr")
class ResidualBlock(keras.layers.Layer):
    """Convolution, ReLU, convolution, added to the input.

    The second convolution starts at zero, so that a deep stack starts as the identity; with
    ordinary initial weights the sum grows with every block, and 8 of them did not train.

    Args:
        width: Number of feature channels.
        batch_norm: Normalise after each convolution, as SRResNet did; statistics are shared
            among replicas.

    Input and output shape: (batch, height, width, channels).

    Reference:
        [Ledig et al., 2017](https://arxiv.org/abs/1609.04802); without normalisation as in
        [Lim et al., 2017](https://arxiv.org/abs/1707.02921)
    """

    def __init__(self, width: int, batch_norm: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.width = width
        self.batch_norm = batch_norm
        self.convolutions = [
            keras.layers.Conv2D(
                width,
                3,
                padding="same",
                use_bias=not batch_norm,
                kernel_initializer=start,
                name=name,
            )  # fmt: skip
            for name, start in (("first", "he_normal"), ("second", "zeros"))
        ]
        self.norms = [
            keras.layers.BatchNormalization(momentum=0.9, synchronized=True, name=n)
            for n in (("first_norm", "second_norm") if batch_norm else ())
        ]

    def build(self, input_shape):
        for layer in (*self.convolutions, *self.norms):
            layer.build(input_shape)

    def call(self, inputs, training=False):
        x = inputs
        for index, convolution in enumerate(self.convolutions):
            x = convolution(x)
            if self.batch_norm:
                x = self.norms[index](x, training=training)
            if index == 0:
                x = ops.relu(x)
        return inputs + x

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "width": self.width, "batch_norm": self.batch_norm}


@keras.saving.register_keras_serializable("xraysr")
class SubpixelUpsample(keras.layers.Layer):
    """Convolution to `factor ** 2` sub-pixels, `depth_to_space`, ReLU.

    Args:
        filters: Channels after enlarging.
        factor: Enlargement, a prime factor of the scale.

    Input shape: (batch, height, width, channels).
    Output shape: (batch, factor height, factor width, filters).

    Reference:
        [Shi et al., 2016](https://arxiv.org/abs/1609.05158)
    """

    def __init__(self, filters: int, factor: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        self.factor = factor
        self.convolution = keras.layers.Conv2D(
            filters * factor**2, 3, padding="same", kernel_initializer=ICNR(factor), name="conv"
        )

    def build(self, input_shape):
        self.convolution.build(input_shape)

    def call(self, inputs):
        return ops.relu(ops.depth_to_space(self.convolution(inputs), self.factor))

    def compute_output_shape(self, input_shape):
        batch, height, width, _ = input_shape
        return (batch, *(n and n * self.factor for n in (height, width)), self.filters)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "filters": self.filters, "factor": self.factor}


@keras.saving.register_keras_serializable("xraysr")
class SpectralConv2D(keras.layers.Conv2D):
    """`Conv2D` whose kernel is divided by its spectral norm, which is then 1.

    Each call in training moves the estimate of the norm by one power iteration, in float32 under
    any precision. Only the estimate is assigned: the kernel stays the optimizer's alone, and the
    gradient passes through the norm, as published.

    Input and output shape: those of `Conv2D`.

    Reference:
        [Miyato et al., 2018](https://arxiv.org/abs/1802.05957)
    """

    def add_weight(self, *args: Any, **kwargs: Any) -> keras.Variable:
        return super().add_weight(*args, **{**kwargs, "autocast": False})

    def build(self, input_shape):
        super().build(input_shape)
        self.direction = self.add_weight(
            shape=(self.filters, 1), initializer="random_normal", trainable=False, name="direction"
        )

    def call(self, inputs, training=False):
        matrix = ops.reshape(self.kernel, (-1, self.filters))
        left = ops.stop_gradient(ops.normalize(ops.matmul(matrix, self.direction), axis=0))
        right = ops.matmul(ops.transpose(matrix), left)
        direction = ops.stop_gradient(ops.normalize(right, axis=0))
        if training:
            self.direction.assign(direction)
        norm = ops.sum(right * direction)
        kernel = ops.cast(self.kernel / norm, self.compute_dtype)
        outputs = self.convolution_op(inputs, kernel)
        return outputs + ops.cast(self.bias, self.compute_dtype) if self.use_bias else outputs
