"""Generators, discriminators and feature extractors: Keras 3 without a backend of their own."""

from xraysr.models.discriminator import Discriminator, PatchDiscriminator
from xraysr.models.edge import EdgeGenerator
from xraysr.models.features import VGG19Features
from xraysr.models.generator import Generator
from xraysr.models.network import SRNetwork
from xraysr.models.radiograph_features import RadiographFeatures

GENERATORS: dict[str, type[SRNetwork]] = {"srresnet": Generator, "edge": EdgeGenerator}

__all__ = [
    "GENERATORS",
    "Discriminator",
    "EdgeGenerator",
    "Generator",
    "PatchDiscriminator",
    "RadiographFeatures",
    "SRNetwork",
    "VGG19Features",
]
