"""The discriminators: one verdict for a whole image, or one for each patch of it."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from xraysr.models.layers import SpectralConv2D
from xraysr.pair import Size

MAX_FILTERS_FACTOR = 8


@keras.saving.register_keras_serializable("xraysr")
class ConvNormAct(keras.layers.Layer):
    """Convolution, batch normalisation (shared among replicas) and leaky ReLU.

    Args:
        filters: Output channels.
        strides: 1, or 2 to halve the image.
        batch_norm: False for the first layer of a discriminator.
        spectral_norm: Hold the convolution at spectral norm 1,
            [Miyato et al., 2018](https://arxiv.org/abs/1802.05957).

    Input shape: (batch, height, width, channels).
    Output shape: (batch, height / strides, width / strides, filters), rounded up.
    """

    def __init__(
        self,
        filters: int,
        strides: int = 1,
        batch_norm: bool = True,
        spectral_norm: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        self.strides = strides
        self.batch_norm = batch_norm
        self.spectral_norm = spectral_norm
        convolution = SpectralConv2D if spectral_norm else keras.layers.Conv2D
        self.convolution = convolution(
            filters, 3, strides=strides, padding="same", use_bias=not batch_norm, name="conv"
        )
        self.norm = (
            keras.layers.BatchNormalization(momentum=0.9, synchronized=True, name="norm")
            if batch_norm
            else None
        )

    def build(self, input_shape):
        self.convolution.build(input_shape)
        if self.norm is not None:
            self.norm.build(self.compute_output_shape(input_shape))

    def call(self, inputs, training=False):
        x = self.convolution(inputs, **({"training": training} if self.spectral_norm else {}))
        if self.norm is not None:
            x = self.norm(x, training=training)
        return ops.leaky_relu(x, 0.2)

    def compute_output_shape(self, input_shape):
        return self.convolution.compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "strides": self.strides,
            "batch_norm": self.batch_norm,
            "spectral_norm": self.spectral_norm,
        }


def _strided_stages(stages: int, filters: int, spectral_norm: bool) -> list[ConvNormAct]:
    """`stages` halvings; channels double from `filters` up to 8 times as many."""
    layers: list[ConvNormAct] = []
    for stage in range(stages):
        width = filters * min(2**stage, MAX_FILTERS_FACTOR)
        layers += [
            ConvNormAct(width, 1, stage > 0, spectral_norm, name=f"stage_{stage}"),
            ConvNormAct(width, 2, True, spectral_norm, name=f"stage_{stage}_down"),
        ]
    return layers


@keras.saving.register_keras_serializable("xraysr")
class Discriminator(keras.Model):
    """SRGAN's discriminator: real or generated, one logit for an image of fixed size.

    The number of halvings follows from the HR size: as many as leave about 6 pixels on the
    shorter side (4 for 96 pixels, as published; 5 for 256).

    Args:
        size: (height, width) of the HR images, at least 16 pixels each.
        filters: Channels of the first stage; later stages have up to 8 times as many.
        dense_units: Width of the layer before the verdict.
        spectral_norm: Hold the convolutions at spectral norm 1.

    Input shape: (batch, height, width, 1), float32 in [0, 1]. Output shape: (batch, 1), logits.

    Reference:
        [Ledig et al., 2017](https://arxiv.org/abs/1609.04802)
    """

    def __init__(
        self,
        size: Size,
        filters: int = 64,
        dense_units: int = 1024,
        spectral_norm: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if min(size) < 16:
            raise ValueError(f"Discriminator needs HR images of 16 pixels. Received: size={size}")
        self.size = tuple(size)
        self.filters = filters
        self.dense_units = dense_units
        self.spectral_norm = spectral_norm
        self.stages = _strided_stages(round(math.log2(min(size) / 6)), filters, spectral_norm)
        self.flatten = keras.layers.Flatten(name="flatten")
        self.dense = keras.layers.Dense(dense_units, name="dense")
        self.verdict = keras.layers.Dense(1, dtype="float32", name="verdict")

    def build(self, input_shape=None):
        shape = (None, *self.size, 1)
        for layer in (*self.stages, self.flatten, self.dense, self.verdict):
            layer.build(shape)
            shape = layer.compute_output_shape(shape)

    def call(self, inputs, training=False):
        x = inputs * 2.0 - 1.0
        for stage in self.stages:
            x = stage(x, training=training)
        return self.verdict(ops.leaky_relu(self.dense(self.flatten(x)), 0.2))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], 1)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "size": self.size,
            "filters": self.filters,
            "dense_units": self.dense_units,
            "spectral_norm": self.spectral_norm,
        }


@keras.saving.register_keras_serializable("xraysr")
class PatchDiscriminator(keras.Model):
    """Judges every patch by itself, so images may have any size.

    Args:
        stages: Halvings; three make each verdict see a patch of 45 pixels.
        filters: Channels of the first stage; later stages have up to 8 times as many.
        spectral_norm: Hold the convolutions at spectral norm 1.

    Input shape: (batch, height, width, 1), float32 in [0, 1].
    Output shape: (batch, height / 2**stages, width / 2**stages, 1), logits, rounded up.

    Reference:
        [Isola et al., 2017](https://arxiv.org/abs/1611.07004)
    """

    def __init__(
        self, stages: int = 3, filters: int = 16, spectral_norm: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if stages < 1:
            raise ValueError(f"PatchDiscriminator needs stages >= 1. Received: stages={stages}")
        self.stage_count = stages
        self.filters = filters
        self.spectral_norm = spectral_norm
        self.stages = _strided_stages(stages, filters, spectral_norm)
        self.verdict = keras.layers.Conv2D(1, 3, padding="same", dtype="float32", name="verdict")

    @property
    def patch(self) -> int:
        """Side in pixels of the patch that one verdict sees."""
        field, step = 1, 1
        for layer in (*self.stages, None):
            field += 2 * step
            step *= layer.strides if layer else 1
        return field

    def build(self, input_shape=None):
        shape = (None, None, None, 1)
        for layer in (*self.stages, self.verdict):
            layer.build(shape)
            shape = layer.compute_output_shape(shape)

    def call(self, inputs, training=False):
        x = inputs * 2.0 - 1.0
        for stage in self.stages:
            x = stage(x, training=training)
        return self.verdict(x)

    def compute_output_shape(self, input_shape):
        shape = input_shape
        for layer in (*self.stages, self.verdict):
            shape = layer.compute_output_shape(shape)
        return shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "stages": self.stage_count,
            "filters": self.filters,
            "spectral_norm": self.spectral_norm,
        }
