"""`RadiographFeatures`: what a small network that learned on radiographs sees in an image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
from keras import ops

from xraysr.errors import UserError
from xraysr.files import write_json
from xraysr.models.weights import load_weights, round_weights, save_weights, weights_sha256

WIDTHS = (16, 32, 64, 128)
SHIPPED = Path(__file__).with_suffix(".safetensors")
# Added to the mean square of a position's channels, so that silence stays silent.
EPSILON = 1e-3


@keras.saving.register_keras_serializable("xraysr")
class RadiographFeatures(keras.Model):
    """Feature maps of an image at four depths, for the feature loss and the feature distance.

    Two 3x3 convolutions with ReLU at each depth, halving the size by the mean in between. The
    channels of each position are divided by their root mean square, so that the mean squared
    difference of two such maps is the distance of LPIPS with equal weights.

    Example:
        >>> extractor = RadiographFeatures.shipped()
        >>> distance = map_difference(extractor(sr), extractor(hr))

    Input shape: (batch, height, width, 1), float32 in [0, 1], 8 pixels or more a side.
    Output: a list of four float32 maps, (batch, height / 2 ** k, width / 2 ** k, channels) with
    16, 32, 64 and 128 channels.

    Reference:
        [Zhang et al., 2018](https://arxiv.org/abs/1801.03924)
    """

    def __init__(self, **kwargs: Any) -> None:
        # Each layer casts for itself: the first sees all grey levels under mixed precision too.
        super().__init__(autocast=False, **kwargs)
        self.convolutions = [
            keras.layers.Conv2D(
                width,
                3,
                padding="same",
                activation="relu",
                kernel_initializer="he_normal",
                dtype="float32" if (depth, index) == (0, 0) else None,
                name=f"conv_{depth}_{index}",
            )
            for depth, width in enumerate(WIDTHS)
            for index in range(2)
        ]
        self.halve = keras.layers.AveragePooling2D(2, name="halve")

    def build(self, input_shape):
        channels = 1
        for convolution in self.convolutions:
            convolution.build((None, None, None, channels))
            channels = convolution.filters

    def call(self, inputs):
        return [unit_channels(x) for x in self.activations(inputs)]

    def activations(self, inputs: Any) -> list[Any]:
        """The maps as the convolutions leave them, before their channels are made comparable."""
        x = (inputs - 0.5) * 4.0
        maps = []
        for index, convolution in enumerate(self.convolutions):
            if index and index % 2 == 0:
                x = self.halve(x)
            x = convolution(x)
            if index % 2:
                maps.append(x)
        return maps

    @classmethod
    def shipped(cls, path: str | Path = SHIPPED) -> RadiographFeatures:
        """The extractor that comes with the package, trained on radiographs; it is frozen.

        Args:
            path: Weights as `save_features` wrote them, with their card beside them.

        Raises:
            UserError: if the file is missing, damaged or of another version.
        """
        extractor = cls(trainable=False)
        extractor.build((None, None, None, 1))
        _load(extractor, Path(path))
        return extractor


def unit_channels(x: Any) -> Any:
    """`x` with the mean square over the channels of each position at 1, in float32."""
    x = ops.cast(x, "float32")
    return x * ops.rsqrt(ops.mean(ops.square(x), axis=-1, keepdims=True) + EPSILON)


def map_difference(maps: list[Any], others: list[Any]) -> Any:
    """Mean squared difference of two images' feature maps, each map counting the same.

    Args:
        maps: What an extractor gave for a batch of images.
        others: The same for the images to compare them with.

    Returns:
        float32, shape (batch,).
    """
    parts = [
        ops.mean(ops.square(ops.cast(one, "float32") - ops.cast(other, "float32")), axis=(1, 2, 3))
        for one, other in zip(maps, others, strict=True)
    ]
    return sum(parts) / len(parts)


def save_features(extractor: RadiographFeatures, path: Path, card: dict[str, Any]) -> None:
    """Writes the weights as float16 (.safetensors) and `card` with their hash beside them."""
    round_weights(extractor)
    save_weights(extractor, path)
    write_json(card_of(path), {**card, "weights_sha256": weights_sha256(extractor)})


def card_of(path: Path) -> Path:
    """Where the card of the weights at `path` lies."""
    return path.with_suffix(".json")


def _load(extractor: RadiographFeatures, path: Path) -> None:
    try:
        expected = json.loads(card_of(path).read_text("utf-8"))["weights_sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"The feature extractor needs {path} and its card {card_of(path).name} beside it. "
            f"Received: {error!r}. Reinstall xraysr."
        ) from error
    try:
        load_weights(extractor, path)
    except UserError as error:
        raise UserError(f"{error}. Reinstall xraysr.") from error
    if weights_sha256(extractor) != expected:
        raise UserError(f"{path} does not hold the weights its card names. Reinstall xraysr.")
