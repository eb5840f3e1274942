"""From a `TrainConfig` to networks and optimizers, built, compiled and ready for a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

import keras
import tensorflow as tf

from xraysr.degradation import Degrade
from xraysr.errors import UserError
from xraysr.models import (
    GENERATORS,
    Discriminator,
    PatchDiscriminator,
    RadiographFeatures,
    VGG19Features,
)
from xraysr.models.open import open_model
from xraysr.training.config import TrainConfig
from xraysr.training.losses import ContentLoss
from xraysr.training.srgan import SRGAN
from xraysr.training.updates import guarded

TRUNK = ("head", "conv_", "block_", "body")
BUILD = ("depth", "width", "batch_norm")


@dataclass(frozen=True)
class OwnParts:
    """What the user brings along instead of naming it in the config; None where nothing.

    Args:
        generator: A Keras model that maps LR (batch, height, width, 1), float32 in [0, 1], to SR,
            `scale` times as large. It is trained, and copied by `get_config`.
        discriminator: A Keras model that maps an HR-sized image to logits of any shape.
        content_loss: A function of (sr, hr) that returns one number.
        degradation: A function of (hr, lr_size) that returns LR; hr float32 in [0, 1], (h, w).
    """

    generator: keras.Model | None = None
    discriminator: keras.Model | None = None
    content_loss: ContentLoss | None = None
    degradation: Degrade | None = None

    def describe(self) -> dict[str, str]:
        """The parts that are there, by name, as config.json and the card of the model say them."""
        parts = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: part_name(part) for name, part in parts.items() if part is not None}


def part_name(part: Any) -> str:
    """The name of a class or function of the user's."""
    named = part if hasattr(part, "__qualname__") else type(part)
    return f"{named.__module__}.{named.__qualname__}".removeprefix("__main__.")


def build_srgan(config: TrainConfig, own: OwnParts = OwnParts()) -> SRGAN:
    """The networks and optimizers that `config` describes. Call it in the strategy's scope.

    Args:
        config: The settings.
        own: Parts of the user's that take the place of what the settings name.

    Raises:
        UserError: if an own part has no place in the run, or does not fit it.
    """
    _check(config, own)
    with _precision(config.precision):
        generator = own.generator or _generator(config)
        discriminator = own.discriminator
        if discriminator is None and config.is_adversarial:
            discriminator = _discriminator(config)
        extractor = _extractor(config) if config.feature_weight else None
    lr, hr = ((1, side, side, 1) for side in (config.crop, config.crop * config.pair.scale))
    # In float32, as it is exported.
    averaged = _copy(own.generator, lr, hr) if own.generator else _generator(config)
    averaged.set_weights(generator.get_weights())
    srgan = SRGAN(generator, discriminator, extractor, averaged)
    float16 = config.precision == "mixed_float16"
    adam = keras.optimizers.Adam
    srgan.compile(
        guarded(adam(config.learning_rate), float16),
        guarded(adam(config.adversarial_learning_rate), float16) if discriminator else None,
        content_loss=own.content_loss or config.content_loss,
        adversarial_loss=config.adversarial_loss,
        content_weight=config.content_weight,
        adversarial_weight=config.adversarial_weight,
        feature_weight=config.feature_weight,
        r1_weight=config.r1_weight,
        label_smoothing=config.label_smoothing,
        clip_norm=config.clip_norm or None,
        average_decay=config.average_decay,
    )
    srgan.build_for(lr, hr)
    return srgan


def _check(config: TrainConfig, own: OwnParts) -> None:
    if own.discriminator is not None and not config.is_adversarial:
        raise UserError(
            "discriminator has no use without an adversarial phase: set adversarial_share or "
            f"adversarial_from. Received: adversarial_share={config.adversarial_share:g}"
        )
    if own.generator is not None and config.init is not None:
        raise UserError(
            "init loads weights into a generator of xraysr; load those of your own before the "
            f"run. Received: init={config.init} and generator={part_name(own.generator)}"
        )


def _copy(generator: keras.Model, lr: tuple[int, ...], hr: tuple[int, ...]) -> keras.Model:
    """A second model of the user's class, both built; it keeps the moving average."""
    name = part_name(generator)
    try:
        copy = type(generator).from_config(generator.get_config())
        sizes = {tuple(model(tf.zeros(lr)).shape) for model in (generator, copy)}
    except Exception as error:  # the user's code raises what it likes
        raise UserError(
            f"generator must be a Keras model that get_config can copy and that takes LR of shape "
            f"{lr}. Received: {name}, which fails with: {error}"
        ) from error
    if sizes != {hr}:
        raise UserError(
            f"generator must map LR of shape {lr} to {hr}. Received: {name}, which returns "
            f"{' and '.join(map(str, sorted(sizes)))}"
        )
    return copy


@contextmanager
def _precision(policy: str) -> Iterator[None]:
    """Layers made in the block compute in `policy`."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _generator(config: TrainConfig) -> keras.Model:
    settings = {"depth": config.depth, "width": config.width}
    if config.batch_norm:
        settings["batch_norm"] = True
    return GENERATORS[config.generator].for_pair(config.pair, **settings)


def _extractor(config: TrainConfig) -> keras.Model:
    return VGG19Features(config.vgg19) if config.vgg19 else RadiographFeatures.shipped()


def _discriminator(config: TrainConfig) -> keras.Model:
    side = config.crop * config.pair.scale
    discriminator: keras.Model = (
        Discriminator((side, side), spectral_norm=config.spectral_norm)
        if config.discriminator == "srgan"
        else PatchDiscriminator(spectral_norm=config.spectral_norm)
    )
    discriminator.build((None, side, side, 1))
    return discriminator


def initialise(generator: keras.Model, init: str) -> None:
    """Gives `generator` the weights of the trained one that `init` names.

    Of a generator of another scale only the trunk is taken, the layers at LR size; what enlarges
    starts anew, as [Lim et al., 2017](https://arxiv.org/abs/1707.02921) did from x2 to x4.

    Args:
        generator: One of ours, built.
        init: A preset's name, a run or a `.keras` file.

    Raises:
        UserError: if there is no such generator, or it is built differently.
    """
    source, _ = open_model(init)
    ours, theirs = _build_of(generator), _build_of(source)
    if ours != theirs:
        raise UserError(
            f"The run begins from {init}, which must be built alike. Expected: {_text(ours)}. "
            f"Received: {_text(theirs)}"
        )
    if generator.scale == source.scale:
        generator.set_weights(source.get_weights())
        return
    trained = {layer.name: layer for layer in source.layers}
    for layer in generator.layers:
        if layer.name.startswith(TRUNK):
            layer.set_weights(trained[layer.name].get_weights())


def _build_of(generator: keras.Model) -> dict[str, object]:
    settings = {name: value for name, value in generator.get_config().items() if name in BUILD}
    return {"generator": type(generator).__name__, **settings}


def _text(build: dict[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in build.items())
