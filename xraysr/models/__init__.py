"""Generators, discriminators and feature extractors: Keras 3 without a backend of their own."""

from xraysr.models.discriminator import Discriminator, PatchDiscriminator
from xraysr.models.edge import EdgeGenerator
from xraysr.models.features import VGG19Features
from xraysr.models.network import SRNetwork
from xraysr.models.radiograph_features import RadiographFeatures
from xraysr.models.srresnet import SRResNet

GENERATORS: dict[str, type[SRNetwork]] = {"srresnet": SRResNet, "edge": EdgeGenerator}

__all__ = [
    "GENERATORS",
    "Discriminator",
    "EdgeGenerator",
    "SRResNet",
    "PatchDiscriminator",
    "RadiographFeatures",
    "SRNetwork",
    "VGG19Features",
]
