"""Feature extractors for the feature loss: what a network sees, instead of the pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from xraysr.errors import UserError

IMAGENET_BGR_MEAN = np.array([103.939, 116.779, 123.68], np.float32)
SRGAN_FEATURE_SCALE = 1 / 12.75


class VGG19Features(keras.Model):
    """Activations of VGG19 after its `block5_conv4`, as in SRGAN.

    Nothing is downloaded: the weights file is the user's. VGG19 learned on photographs and is
    only a rough judge of radiographs; any `keras.Model` that maps (batch, height, width, 1) in
    [0, 1] to features can stand in its place.

    Args:
        weights: `vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5` or another file that
            `keras.applications.VGG19(include_top=False)` can load.

    Input shape: (batch, height, width, 1), float32 in [0, 1], 16 pixels or more.
    Output shape: (batch, height / 16, width / 16, 512), float32, divided by 12.75 as published.

    Raises:
        UserError: if the file is missing or holds other weights.

    Reference:
        [Simonyan & Zisserman, 2015](https://arxiv.org/abs/1409.1556),
        [Ledig et al., 2017](https://arxiv.org/abs/1609.04802)
    """

    def __init__(self, weights: str | Path, **kwargs: Any) -> None:
        super().__init__(trainable=False, **kwargs)
        path = Path(weights)
        if not path.is_file():
            raise UserError(f"No VGG19 weights file at {path}")
        try:
            vgg = keras.applications.VGG19(include_top=False, weights=str(path))
        except (ValueError, OSError, KeyError) as error:
            raise UserError(
                f"{path} does not hold the weights of VGG19 without its top layers: {error}"
            ) from error
        vgg.trainable = False
        self.vgg = keras.Model(vgg.input, vgg.get_layer("block5_conv4").output)

    def call(self, inputs):
        bgr = ops.repeat(inputs * 255.0, 3, axis=-1) - IMAGENET_BGR_MEAN
        return self.vgg(bgr) * SRGAN_FEATURE_SCALE
