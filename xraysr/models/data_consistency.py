"""Keeps a generator from contradicting the scan, inside the graph that is exported."""

from __future__ import annotations

from typing import Any, Self

import keras
import numpy as np
from keras import ops

from xraysr.lanczos import RADIUS, REACH, lanczos_kernel, lanczos_matrix
from xraysr.models.network import SRNetwork

ROUNDS = 16
TOLERANCE = 0.25 / 65535  # a quarter of a grey level of 16 bits
INVERSE_RADIUS = 12  # LR pixels; what is cut off is 1e-4 of the residual


@keras.saving.register_keras_serializable("xraysr")
class DataConsistency(keras.layers.Layer):
    """Projects SR onto the images in [0, 1] whose Lanczos reduction is the LR image.

    What `xraysr.upscale.data_consistency.project` does, in operations
    that every backend, XLA and TFLite have built in: the reduction is a convolution after
    `space_to_depth`, its transpose one before `depth_to_space`, and between them lies the
    inverse of their product as it is far from the border; near the border the rounds make up
    for the difference. It has no weights.

    Args:
        scale: HR pixels per LR pixel.
        rounds: How often the residual is taken back at most, 1 or more.

    Input: a list of SR (batch, scale height, scale width, 1) and LR (batch, height, width, 1),
    both float32, LR in [0, 1]. Output shape: that of SR, in [0, 1].
    """

    def __init__(self, scale: int, rounds: int = ROUNDS, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if rounds < 1:
            raise ValueError(f"DataConsistency needs rounds >= 1. Received: rounds={rounds}")
        self.scale = scale
        self.rounds = rounds
        self._down, self._up = polyphase_reduction(scale)
        self._inverse = inverse_taps(scale)

    def call(self, inputs):
        sr, lr = inputs
        start = ops.clip(sr, 0.0, 1.0)
        # Zero padding loses weight at the borders; dividing by what is left of it gives it back.
        weight = self._convolve(ops.ones_like(lr), self._down.sum(axis=2, keepdims=True))

        def residual_of(image):
            return lr - ops.clip(self._reduce(image) / weight, 0.0, 1.0)

        def unsettled(pace, image, residual, multiplier, ahead):
            return ops.max(ops.abs(residual)) > TOLERANCE

        def take_back(pace, image, residual, multiplier, ahead):
            before, multiplier = multiplier, ahead + residual
            last, pace = pace, (1.0 + ops.sqrt(1.0 + 4.0 * pace * pace)) / 2.0
            ahead = multiplier + (last - 1.0) / pace * (multiplier - before)
            lifted = self._convolve(self._solve(ahead), self._up)
            image = ops.clip(start + ops.depth_to_space(lifted, self.scale), 0.0, 1.0)
            return pace, image, residual_of(image), multiplier, ahead

        nothing = ops.zeros_like(lr)
        state = (ops.ones(()), start, residual_of(start), nothing, nothing)
        return ops.while_loop(unsettled, take_back, state, maximum_iterations=self.rounds)[1]

    def _reduce(self, image):
        return self._convolve(ops.space_to_depth(image, self.scale), self._down)

    def _solve(self, residual):
        rows = self._convolve(residual, self._inverse[:, None, None, None])
        return self._convolve(rows, self._inverse[None, :, None, None])

    def _convolve(self, image, kernel):
        kernel = ops.convert_to_tensor(kernel, dtype=self.compute_dtype)
        return ops.conv(image, kernel, padding="same")

    def compute_output_shape(self, input_shape):
        return input_shape[0]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": self.scale, "rounds": self.rounds}


def polyphase_reduction(scale: int) -> tuple[np.ndarray, np.ndarray]:
    """Kernels of the reduction after `space_to_depth`, and of its transpose; float32.

    Their shapes are (7, 7, scale * scale, 1) and (7, 7, 1, scale * scale).
    """
    phases = (np.arange(scale) + 0.5) / scale - 0.5
    taps = lanczos_kernel(np.arange(-RADIUS, RADIUS + 1)[:, None] + phases[None, :])
    taps /= taps.sum()
    kernel = np.einsum("ap,bq->abpq", taps, taps).reshape(len(taps), len(taps), -1)
    down = kernel[..., None].astype(np.float32)
    return down, np.ascontiguousarray(down[::-1, ::-1].transpose(0, 1, 3, 2))


def inverse_taps(scale: int) -> np.ndarray:
    """The middle row of the inverse of the reduction times its transpose; float32, shape (25,)."""
    size = 2 * (INVERSE_RADIUS + REACH) + 1
    matrix = lanczos_matrix(scale * size, size)
    middle = np.linalg.inv(matrix @ matrix.T)[size // 2]
    return middle[REACH : size - REACH].astype(np.float32)


@keras.saving.register_keras_serializable("xraysr")
class ConsistentGenerator(SRNetwork):
    """A generator followed by DataConsistency; its weights are those of the generator.

    Args:
        generator: The trained network.
        rounds: As of DataConsistency.

    Input shape: (batch, height, width, 1), float32 in [0, 1], any height and width.
    Output shape: (batch, scale height, scale width, 1), float32 in [0, 1].
    """

    def __init__(self, generator: SRNetwork, rounds: int = ROUNDS, **kwargs: Any) -> None:
        super().__init__(generator.scale, **kwargs)
        self.generator = generator
        self.faithful = DataConsistency(generator.scale, rounds, dtype="float32", name="faithful")

    def build(self, input_shape):
        if not self.generator.built:
            self.generator.build(input_shape)

    def call(self, inputs, training=False):
        return self.faithful([self.generator(inputs, training=training), inputs])

    @property
    def receptive_radius(self) -> int:
        return self.generator.receptive_radius + REACH

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["scale"]  # the generator's own
        generator = keras.saving.serialize_keras_object(self.generator)
        return {**config, "generator": generator, "rounds": self.faithful.rounds}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        generator = keras.saving.deserialize_keras_object(config["generator"], custom_objects)
        return cls(**{**config, "generator": generator})
