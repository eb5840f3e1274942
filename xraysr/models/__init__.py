"""Generators, discriminators and feature extractors: Keras 3 without a backend of their own."""

import keras

from xraysr.models.data_consistency import ConsistentGenerator, DataConsistency
from xraysr.models.discriminator import Discriminator, PatchDiscriminator
from xraysr.models.edge import EdgeGenerator
from xraysr.models.features import VGG19Features
from xraysr.models.network import SRNetwork
from xraysr.models.open import GENERATORS, open_model
from xraysr.models.radiograph_features import RadiographFeatures
from xraysr.models.srresnet import SRResNet

# What files written before these classes had their names call them.
keras.saving.get_custom_objects().update(
    {
        "xraysr>Generator": SRResNet,
        "xraysr>Faithful": DataConsistency,
        "xraysr>FaithfulGenerator": ConsistentGenerator,
    }
)

__all__ = [
    "GENERATORS",
    "Discriminator",
    "EdgeGenerator",
    "PatchDiscriminator",
    "RadiographFeatures",
    "SRNetwork",
    "SRResNet",
    "VGG19Features",
    "open_model",
]
