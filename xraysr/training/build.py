"""From a `TrainConfig` to networks and optimizers, built, compiled and ready for a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import keras

from xraysr.models import (
    GENERATORS,
    Discriminator,
    PatchDiscriminator,
    RadiographFeatures,
    SRNetwork,
    VGG19Features,
)
from xraysr.training.config import TrainConfig
from xraysr.training.optimizers import guarded
from xraysr.training.srgan import SRGAN


def build_srgan(config: TrainConfig) -> SRGAN:
    """The networks and optimizers that `config` describes. Call it in the strategy's scope."""
    with _precision(config.precision):
        generator = _generator(config)
        discriminator = _discriminator(config) if config.is_adversarial else None
        extractor = _extractor(config) if config.feature_weight else None
    averaged = _generator(config)  # in float32, as it is exported
    averaged.set_weights(generator.get_weights())
    srgan = SRGAN(generator, discriminator, extractor, averaged)
    float16 = config.precision == "mixed_float16"
    adam = keras.optimizers.Adam
    srgan.compile(
        guarded(adam(config.learning_rate), float16),
        guarded(adam(config.adversarial_learning_rate), float16) if discriminator else None,
        content_loss=config.content_loss,
        adversarial_loss=config.adversarial_loss,
        content_weight=config.content_weight,
        adversarial_weight=config.adversarial_weight,
        feature_weight=config.feature_weight,
        r1_weight=config.r1_weight,
        label_smoothing=config.label_smoothing,
        clip_norm=config.clip_norm or None,
        average_decay=config.average_decay,
    )
    return srgan


@contextmanager
def _precision(policy: str) -> Iterator[None]:
    """Layers made in the block compute in `policy`."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _generator(config: TrainConfig) -> SRNetwork:
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
